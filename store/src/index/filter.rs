//! The Bloom filter of an index file: says for sure that a stream is not in a
//! volume, in a few memory accesses.

use super::StreamHash;

const BITS_PER_STREAM: u64 = 10;
const PROBES: u64 = 7;

/// The bits, of which each stream has set seven. With ten bits a stream, one
/// look in 120 for a stream that is not there goes on to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter(Vec<u8>);

impl Filter {
    /// The bytes of the filter over so many streams.
    pub(crate) fn bytes_for(streams: u32) -> u64 {
        (u64::from(streams) * BITS_PER_STREAM).div_ceil(8)
    }

    pub(crate) fn over(hashes: impl ExactSizeIterator<Item = StreamHash>) -> Self {
        let streams = u32::try_from(hashes.len()).expect("streams of a volume fit in memory");
        let len = usize::try_from(Self::bytes_for(streams)).expect("smaller than the streams");
        let mut filter = Self(vec![0; len]);
        for hash in hashes {
            for bit in filter.probes(hash) {
                filter.0[bit / 8] |= 1 << (bit % 8);
            }
        }
        filter
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the stream may be there; if not, it is not.
    pub(crate) fn may_hold(&self, hash: StreamHash) -> bool {
        !self.0.is_empty()
            && self
                .probes(hash)
                .all(|bit| self.0[bit / 8] & (1 << (bit % 8)) != 0)
    }

    fn probes(&self, hash: StreamHash) -> impl Iterator<Item = usize> + use<> {
        let (start, step) = hash.halves();
        let bits = 8 * self.0.len() as u128;
        (0..PROBES).map(move |index| {
            let at = start.wrapping_add(index.wrapping_mul(step | 1));
            usize::try_from((u128::from(at) * bits) >> 64).expect("less than the number of bits")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in_and_little_else() {
        let hash = |n: u32| StreamHash::of(&format!("stream {n}"));
        let filter = Filter::over((0..10_000).map(hash).collect::<Vec<_>>().into_iter());
        assert_eq!(filter.as_bytes().len(), 12_500);
        assert!((0..10_000).all(|n| filter.may_hold(hash(n))));
        let wrong = (10_000..30_000).filter(|n| filter.may_hold(hash(*n)));
        assert!(wrong.count() < 20_000 / 80);
        assert!(!Filter::over(std::iter::empty()).may_hold(hash(1)));
    }
}
