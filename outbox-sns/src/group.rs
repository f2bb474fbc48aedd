//! The message group of a key.

/// In bytes; all of them are ASCII.
const LONGEST: usize = 128;

/// The key itself, where it is of 1 to 128 of the characters that SNS allows (all that ASCII prints, but for the space);
/// else a hash of it: `key-` and 32 hexadecimal digits (FNV-1a, 128 bits). Keys that share a group keep their order, and
/// wait for each other.
pub(crate) fn of(key: &str) -> String {
    if !key.is_empty() && key.len() <= LONGEST && key.bytes().all(|b| b.is_ascii_graphic()) {
        return key.to_owned();
    }
    format!("key-{:032x}", fnv(key.as_bytes()))
}

fn fnv(bytes: &[u8]) -> u128 {
    let offset: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let prime: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(offset, |hash, b| (hash ^ u128::from(*b)).wrapping_mul(prime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_sns_allows_is_its_own_group() {
        let all: String = ('!'..='~').collect();
        assert_eq!(of(&all), all);
        assert_eq!(of(&"k".repeat(128)), "k".repeat(128));
    }

    #[test]
    fn any_other_key_has_a_group_that_stays_the_same() {
        // Known values of FNV-1a: the groups of messages under way must not change with a release.
        assert_eq!(of(""), "key-6c62272e07bb014262b821756295c58d");
        assert_eq!(fnv(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        let odd = ["a b", "ключ", "a\r\nb", &"k".repeat(129), "a\0"];
        let groups: std::collections::HashSet<String> = odd.iter().map(|key| of(key)).collect();
        assert_eq!(groups.len(), odd.len());
        assert!(groups.iter().all(|group| group.len() == 36 && group.starts_with("key-")), "{groups:?}");
    }
}
