//! What prover and verifier absorb before the library takes over.
//!
//! Upstream leaves this to applications. Every part has a length or a fixed size, so that two
//! statements never absorb the same words.

use stwo::core::channel::Channel;
use stwo::core::fields::m31::BaseField;
use stwo::core::pcs::PcsConfig;
use stwo_constraint_framework::relation;

pub const TAG: &[u8] = b"jaxstark/1";

// One type for relations of any arity up to 32: only z and alpha are drawn, whatever the capacity.
relation!(RelationElements, 32);

/// Length in bytes, then little-endian words, zero-padded.
pub fn encode(bytes: &[u8]) -> Vec<u32> {
    let words = bytes.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    });
    std::iter::once(length(bytes.len())).chain(words).collect()
}

/// Tag, AIR id, configuration, sizes and public values, before any commitment.
pub fn bind_statement(
    channel: &mut impl Channel,
    air_id: &str,
    config: &PcsConfig,
    log_sizes: &[u32],
    public: &[Vec<BaseField>],
) {
    channel.mix_u32s(&encode(TAG));
    channel.mix_u32s(&encode(air_id.as_bytes()));
    config.mix_into(channel);

    let mut sizes = vec![length(log_sizes.len())];
    sizes.extend(log_sizes);
    channel.mix_u32s(&sizes);

    let mut words = vec![length(public.len())];
    for vector in public {
        words.push(length(vector.len()));
        words.extend(vector.iter().map(|felt| felt.0));
    }
    channel.mix_u32s(&words);
}

/// The elements of every relation; the trace must be committed before.
pub fn draw_relations(channel: &mut impl Channel, n_relations: usize) -> Vec<RelationElements> {
    (0..n_relations)
        .map(|_| RelationElements::draw(channel))
        .collect()
}

fn length(n: usize) -> u32 {
    u32::try_from(n).expect("lengths fit a word")
}

#[cfg(test)]
mod tests {
    use stwo::core::channel::Blake2sChannel;
    use stwo::core::fri::FriConfig;

    use super::*;

    #[test]
    fn encoding_has_a_length_and_zero_padding() {
        assert_eq!(encode(b""), [0]);
        assert_eq!(encode(b"abcd"), [4, 0x6463_6261]);
        assert_eq!(encode(b"abcde"), [5, 0x6463_6261, 0x65]);
    }

    /// The digest was computed from the words alone, with another BLAKE2s.
    #[test]
    fn statement_digest() {
        let config = PcsConfig {
            pow_bits: 10,
            fri_config: FriConfig::new(1, 2, 30, 4),
            lifting_log_size: None,
        };
        let felts = |words: [u32; 2]| words.map(BaseField::from).to_vec();
        let public = [felts([1, 2]), felts([257, 130])];
        let mut channel = Blake2sChannel::default();
        bind_statement(&mut channel, "state_machine", &config, &[8, 7], &public);
        assert_eq!(channel.digest().to_string(), DIGEST);
    }

    const DIGEST: &str = "fbe344e643b63d47b239862f6cd2a948291250047a9c9dd05107c211b797939d";
}
