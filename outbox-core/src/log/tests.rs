use super::*;

fn snapshot(xmin: u64, next: u64) -> Option<Snapshot> {
    Some(Snapshot::new(&format!("{xmin}:{next}:"), next.cast_signed() - 3).expect("fits"))
}

fn start() -> (Log, Instant) {
    let (cursor, now) = (Cursor::default(), Instant::now());
    (Log::take_over(&cursor, &Scan { snapshot: snapshot(10, 10), ..Scan::default() }, now), now)
}

fn see(log: &mut Log, xmin: u64, next: u64, found: &[i64], now: Instant) {
    log.fetched(&Fetched { snapshot: snapshot(xmin, next), found, limit: 100, ..Fetched::default() }, now);
    log.handed_out(found.iter().copied());
}

fn delivered(seqs: &[i64]) -> Settlement {
    Settlement { delivered: seqs.iter().copied().collect(), ..Settlement::default() }
}

#[test]
fn a_skipped_number_is_asked_for_until_its_transaction_cannot_be_there() {
    let (mut log, now) = start();
    see(&mut log, 10, 12, &[1, 3], now);
    assert_eq!(log.probe(now).holes, [(2, 2)]);
    // The oldest transaction is older than the fence 12: it may be the one.
    see(&mut log, 11, 14, &[], now);
    assert_eq!(log.probe(now).holes, [(2, 2)]);
    see(&mut log, 12, 14, &[], now);
    assert_eq!(log.probe(now).holes, []);
}

#[test]
fn a_late_commit_is_found_and_the_rest_stays_a_hole() {
    let (mut log, now) = start();
    see(&mut log, 10, 12, &[9], now);
    see(&mut log, 10, 12, &[3, 4, 8], now);
    assert_eq!(log.probe(now).holes, [(1, 2), (5, 7)]);
    assert_eq!(log.probe(now).hole_seqs(), 5);
}

#[test]
fn an_old_hole_dies_when_no_writer_of_the_table_is_that_old() {
    let (mut log, now) = start();
    see(&mut log, 10, 12, &[2], now);
    assert!(!log.probe(now).ask_writers);
    let later = now + Duration::from_secs(2);
    assert!(log.probe(later).ask_writers);
    let answer = |oldest| Fetched { snapshot: snapshot(10, 20), oldest_writer: oldest, found: &[], limit: 100 };
    log.fetched(&answer(Some(11)), later);
    assert_eq!(log.probe(later).holes, [(1, 1)], "a writer is older than the fence");
    log.fetched(&answer(Some(12)), later);
    assert_eq!(log.probe(later).holes, []);
}

#[test]
fn a_fetch_cut_inside_the_holes_kills_none_above_and_keeps_the_snapshot() {
    let (mut log, now) = start();
    see(&mut log, 10, 12, &[10], now);
    let kept = log.settle(&delivered(&[])).snapshot;
    let answer = Fetched { snapshot: snapshot(50, 50), found: &[2, 4], limit: 2, ..Fetched::default() };
    log.fetched(&answer, now);
    assert_eq!(log.probe(now).holes, [(5, 9)], "below the cut they were looked at, above not");
    assert_eq!(log.settle(&delivered(&[])).snapshot, kept);
    assert_eq!(log.probe(now).after, 10);
}

#[test]
fn the_floor_stays_below_holes_and_what_is_unsettled() {
    let (mut log, now) = start();
    see(&mut log, 10, 12, &[1, 2, 4, 5], now);
    assert_eq!(log.settle(&delivered(&[1])).floor, 1);
    let cursor = log.settle(&delivered(&[2, 4]));
    assert_eq!((cursor.floor, cursor.position, log.settled_through()), (2, 5, 4));
    assert!(cursor.unsettled.contains(5) && !cursor.unsettled.contains(4));
    see(&mut log, 12, 14, &[], now);
    assert_eq!(log.settle(&delivered(&[5])).floor, 5);
}

#[test]
fn a_takeover_goes_on_with_the_gaps_and_what_was_not_settled() {
    let now = Instant::now();
    let found = Cursor { position: 9, floor: 2, snapshot: Some("5:6:".into()), unsettled: [4].into_iter().collect() };
    let scan = Scan { snapshot: snapshot(20, 22), gaps: &[(5, 6)], todo: &[4, 8] };
    let mut log = Log::take_over(&found, &scan, now);
    assert_eq!((log.probe(now).after, log.probe(now).holes), (9, vec![(5, 6)]));
    let cursor = log.settle(&delivered(&[]));
    assert_eq!((cursor.floor, cursor.position, cursor.snapshot.as_deref()), (3, 9, Some("20:22:")));
    assert!(cursor.unsettled.contains(4) && cursor.unsettled.contains(8));
}

#[test]
fn without_snapshots_a_gap_is_no_hole() {
    let now = Instant::now();
    let mut log = Log::take_over(&Cursor::default(), &Scan::default(), now);
    log.fetched(&Fetched { found: &[1, 5], limit: 100, ..Fetched::default() }, now);
    log.handed_out([1, 5]);
    assert_eq!(log.probe(now).holes, []);
    assert_eq!(log.settle(&delivered(&[1, 5])).floor, 5);
}

#[test]
fn many_unsettled_ranges_become_few() {
    let (mut log, now) = start();
    let all: Vec<i64> = (1..=1000).collect();
    see(&mut log, 10, 12, &all, now);
    let odd: Vec<i64> = (1..=1000).step_by(2).collect();
    let cursor = log.settle(&delivered(&odd));
    assert!(cursor.unsettled.ranges().len() <= 64);
    assert!((2..=1000).step_by(2).all(|seq| cursor.unsettled.contains(seq)));
}

#[test]
fn what_a_crash_would_repeat_is_known_where_there_are_too_many_ranges() {
    let (mut log, now) = start();
    let (all, left): (Vec<i64>, Vec<i64>) = ((1..=1_000).collect(), (1..=200).map(|n| 5 * n).collect());
    let most: Vec<i64> = all.iter().copied().filter(|seq| seq % 5 != 0).collect();
    see(&mut log, 10, 12, &all, now);
    log.settle(&delivered(&most));
    assert_eq!(log.repeats(), 136 * 4, "200 ranges are stored as 64");
    // A successor to which all of them are given as they are.
    let (found, scan) = (log.cursor(), Scan { snapshot: snapshot(12, 12), todo: &left, ..Scan::default() });
    let mut successor = Log::take_over(&found, &scan, now);
    successor.settle(&delivered(&[]));
    assert_eq!(successor.repeats(), 136 * 4);
    successor.settle(&delivered(&left[64..]));
    assert_eq!(successor.repeats(), 0);
}
