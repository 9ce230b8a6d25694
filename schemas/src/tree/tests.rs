use proptest::prelude::*;

use super::*;

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> Result<Hash> {
        let first = (index << level) as usize;
        Ok(root(&self.0[first..first + (1 << level)]))
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect()
}

fn hex(hash: Hash) -> String {
    hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The known-answer tree of the Certificate Transparency test suites (RFC 6962 reference implementation).
#[test]
fn roots_match_the_published_vectors() {
    let entries: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let mut range = CompactRange::new();
    for (at, expected) in roots.iter().enumerate() {
        range.push(leaves[at]);
        assert_eq!(hex(root(&leaves[..=at])), *expected);
        assert_eq!(range.root(), root(&leaves[..=at]));
    }
}

#[test]
fn every_proof_of_small_trees_verifies_and_no_changed_one_does() {
    let all = leaves(40);
    for size in 1..=all.len() {
        let tree = Leaves(all[..size].to_vec());
        let now = root(&all[..size]);
        assert_eq!(root_at(&tree, size as u64).unwrap(), now);
        for index in 0..size {
            let proof = inclusion_proof(&tree, index as u64, size as u64).unwrap();
            let check = |proof: &[Hash], index: usize, leaf: usize| {
                verify_inclusion(proof, index as u64, size as u64, &all[leaf], &now)
            };
            check(&proof, index, index).unwrap();
            assert!(check(&proof, index, (index + 1) % 40).is_err());
            assert!(check(&[proof.as_slice(), &[now]].concat(), index, index).is_err());
            if !proof.is_empty() {
                assert!(check(&proof[1..], index, index).is_err());
            }
        }
        for old in 0..=size {
            let proof = consistency_proof(&tree, old as u64, size as u64).unwrap();
            let before = root(&all[..old]);
            let check = |proof: &[Hash], before: &Hash, now: &Hash| {
                verify_consistency(proof, old as u64, size as u64, before, now)
            };
            check(&proof, &before, &now).unwrap();
            assert!(check(&[proof.as_slice(), &[now]].concat(), &before, &now).is_err());
            if old > 0 && old < size {
                assert!(check(&proof, &all[39], &now).is_err());
                assert!(check(&proof, &before, &all[39]).is_err());
                assert!(check(&proof[1..], &before, &now).is_err());
            }
        }
    }
}

#[test]
fn every_range_that_is_a_subtree_has_the_root_of_its_leaves_and_no_other_has_one() {
    let all = leaves(40);
    let tree = Leaves(all.clone());
    for first in 0..all.len() {
        for last in 0..=all.len() {
            let is_subtree = last > first && first % (last - first).next_power_of_two() == 0;
            let found = range_root(&tree, first as u64, last as u64).ok();
            let expected = is_subtree.then(|| root(&all[first..last]));
            assert_eq!(found, expected, "{first}..{last}");
        }
    }
    assert!(range_root(&tree, 0, u64::MAX).is_err());
}

#[test]
fn hash_text_has_one_spelling() {
    let hash = leaf_hash(b"x");
    assert_eq!(Hash::from_base64(&hash.to_base64()).unwrap(), hash);
    let sloppy = hash.to_base64().replace('=', "");
    assert!(Hash::from_base64(&sloppy).is_err());
}

proptest! {
    #[test]
    fn compact_range_equals_the_definition(count in 0usize..300) {
        let all = leaves(count);
        let mut range = CompactRange::new();
        all.iter().for_each(|leaf| range.push(*leaf));
        prop_assert_eq!(range.root(), root(&all));
        let again = CompactRange::from_peaks(range.size(), range.peaks().to_vec()).unwrap();
        prop_assert_eq!(again, range);
    }
}
