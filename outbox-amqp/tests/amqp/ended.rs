//! A message for which the broker ends the whole connection.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// A way to the broker that ends each connection by which the payload `poison` comes. On the first connection nothing
/// is answered any more from the payload `innocent` on.
async fn touchy_way(broker: &RabbitMq) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let upstream = format!("127.0.0.1:{}", broker.port());
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.expect("the broker");
            tokio::spawn(pass(client, server, std::mem::take(&mut first)));
        }
    });
    format!("{}/%2f?heartbeat=0", broker.url_by(port))
}

async fn pass(mut client: TcpStream, server: TcpStream, first: bool) {
    let (from_server, mut to_server) = server.into_split();
    let (tell, mut frames) = mpsc::unbounded_channel();
    tokio::spawn(read_frames(from_server, tell));
    let (mut chunk, mut seen, mut held) = (vec![0; 1 << 16], Vec::new(), false);
    loop {
        tokio::select! {
            Some(frame) = frames.recv() => {
                if !held && client.write_all(&frame).await.is_err() {
                    return;
                }
            }
            read = client.read(&mut chunk) => {
                let Ok(read @ 1..) = read else { return };
                seen.extend_from_slice(&chunk[..read]);
                let has = |text: &str| seen.windows(text.len()).any(|part| part == text.as_bytes());
                if has("poison") {
                    break;
                }
                held |= first && has("innocent");
                if to_server.write_all(&chunk[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
    _ = client.write_all(&connection_close()).await;
    // The client's last word, and its end.
    _ = client.read_to_end(&mut seen).await;
}

async fn read_frames(mut from: OwnedReadHalf, tell: mpsc::UnboundedSender<Vec<u8>>) {
    loop {
        let mut frame = vec![0; 7];
        if from.read_exact(&mut frame).await.is_err() {
            return;
        }
        let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
        frame.resize(7 + size + 1, 0);
        if from.read_exact(&mut frame[7..]).await.is_err() || tell.send(frame).is_err() {
            return;
        }
    }
}

/// The frame of `connection.close`, with the code 501.
fn connection_close() -> Vec<u8> {
    let text = b"FRAME_ERROR";
    let mut arguments = vec![0, 10, 0, 50];
    arguments.extend(501_u16.to_be_bytes());
    arguments.push(u8::try_from(text.len()).expect("short"));
    arguments.extend(text);
    arguments.extend([0; 4]);
    let mut frame = vec![1, 0, 0];
    frame.extend(u32::try_from(arguments.len()).expect("short").to_be_bytes());
    frame.extend(arguments);
    frame.push(0xCE);
    frame
}

fn one<'a>(topic: &'a str, text: &str) -> Sample<'a> {
    Sample::new(topic).key(text.to_owned()).text(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_publish_does_not_pay_for_it() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("ended", true).await;
    let transport = connect(&touchy_way(&broker).await);
    // A channel each.
    let (a, b) = (numbers(&topic, 0..1), numbers(&topic, 1..2));
    let (a, b) = tokio::join!(publish(&transport, &a, SOON), publish(&transport, &b, SOON));
    assert!(all_delivered(&a) && all_delivered(&b));
    let (innocent, poison) = (batch(2, &[one(&topic, "innocent")]), batch(3, &[one(&topic, "poison")]));
    let (innocent, poison) = tokio::join!(publish(&transport, &innocent, SOON), publish(&transport, &poison, SOON));
    assert_eq!(innocent, [Outcome::Delivered]);
    assert!(matches!(&poison[0], Outcome::Rejected(why) if why.contains("FRAME_ERROR")), "{poison:?}");
    assert_eq!(publish(&transport, &numbers(&topic, 4..5), SOON).await, [Outcome::Delivered], "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_neighbours_do_not_pay_for_it() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("beside", true).await;
    let transport = connect(&touchy_way(&broker).await);
    let samples = ["1", "2", "poison", "3", "4"].map(|text| one(&topic, text));
    let outcomes = publish(&transport, &batch(1, &samples), SOON).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert!(*outcome == Outcome::Delivered || (n == 2 && matches!(outcome, Outcome::Rejected(_))), "{outcomes:?}");
    }
}
