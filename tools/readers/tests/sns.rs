//! boto3 reads what the transport to SNS publishes, out of a queue of SQS.

use outbox_sns::{SnsConfig, SnsTransport};
use readers::{assert_as_sent, publish, read, samples};
use testkit::Localstack;

#[tokio::test(flavor = "multi_thread")]
async fn boto3_reads_messages_as_they_were_sent() {
    let localstack = Localstack::shared().await;
    for name in ["boto3", "boto3.fifo"] {
        let topic = localstack.topic(name).await;
        let sent = samples(topic.name());
        let client = aws_sdk_sns::Client::new(&localstack.settings().await);
        let config = SnsConfig::new(Localstack::ARN_PREFIX).endpoint(localstack.url());
        publish(SnsTransport::with_client(config, client).expect("valid settings"), &sent).await;
        // The queue has the name of its topic.
        let args = [localstack.url(), topic.name(), &sent.len().to_string()];
        assert_as_sent(&sent, &read("sqs.py", &args).await);
    }
}
