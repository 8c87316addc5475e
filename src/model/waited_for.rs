//! Whose doing a wait for the source was: the server's, or the network's.
//!
//! From this end a row that the server has not read yet and one that is on its way look the same. The
//! server knows, though: while its session for us waits until we take more of what it has sent, or ask for
//! more, it is not at work. So it is asked a few times a second, and each look at a worker that waits
//! counts for one of the two.

use serde::{Deserialize, Serialize};

/// What workers that waited for the source were found to wait for, look by look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitedFor {
    /// Looks that found the server at work, or waiting for something on its side, such as a disk or a
    /// lock.
    pub server: u32,
    /// Looks that found the server waiting for us, while we waited for it: what it had sent, or what we
    /// had asked, was on its way. Whatever stands between the two counts, and so does a machine of ours
    /// that takes no time to receive.
    pub network: u32,
}

impl WaitedFor {
    /// Fewer looks say nothing of the shares.
    pub const LOOKS_MIN: u32 = 10;

    /// All looks.
    pub fn looks(self) -> u32 {
        self.server.saturating_add(self.network)
    }

    /// The network's share of the waiting, in thousandths: an estimate from [`WaitedFor::looks`] looks.
    /// `None` where these are too few, or the source does not tell.
    pub fn network_permille(self) -> Option<u32> {
        let (network, looks) = (u64::from(self.network), u64::from(self.looks()));
        let share = (network * 2000 + looks).checked_div(looks * 2)?;
        (self.looks() >= Self::LOOKS_MIN).then_some(u32::try_from(share).unwrap_or(1000))
    }

    /// Whether the network is known to have had at least half of the waiting.
    pub fn is_network(self) -> bool {
        self.network_permille().is_some_and(|share| share >= 500)
    }

    /// These and others together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            server: self.server.saturating_add(other.server),
            network: self.network.saturating_add(other.network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_enough_looks() {
        let of = |server, network| WaitedFor { server, network };
        assert_eq!(of(0, 0).network_permille(), None);
        assert_eq!(of(0, 9).network_permille(), None);
        assert_eq!(of(10, 0).network_permille(), Some(0));
        assert_eq!(of(1, 11).network_permille(), Some(917));
        assert_eq!(of(1, 11).plus(of(8, 0)).network_permille(), Some(550));
        assert_eq!(of(u32::MAX, u32::MAX).looks(), u32::MAX);
        assert!(of(5, 5).is_network() && !of(6, 5).is_network() && !of(0, 9).is_network());
    }
}
