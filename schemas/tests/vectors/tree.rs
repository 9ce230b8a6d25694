//! `vectors/tree.json`: roots, proofs and tiles over leaves that anyone can make.

use schemas::tile::{TileBuilder, TileId, TileNodes};
use schemas::tree::{
    CompactRange, Hash, consistency_proof, inclusion_proof, leaf_hash, range_root, root, root_at,
    verify_consistency, verify_inclusion,
};
use schemas::{Error, Result, layout};
use serde_json::{Value, json};

use crate::hex;

const LEAVES: u64 = 258;
const PROVEN_SIZES: [u64; 12] = [1, 2, 3, 4, 5, 7, 8, 13, 20, 255, 256, 257];

/// Ranges that are subtrees of the whole tree, and ranges that are none.
const RANGES: [(u64, u64); 14] = [
    (0, 1),
    (0, 3),
    (0, 256),
    (0, 258),
    (2, 4),
    (4, 7),
    (5, 6),
    (8, 13),
    (16, 32),
    (64, 127),
    (128, 256),
    (192, 255),
    (256, 257),
    (256, 258),
];
const NOT_RANGES: [(u64, u64); 7] = [(0, 0), (3, 3), (4, 3), (1, 3), (2, 5), (4, 9), (128, 258)];

/// Roots of sizes 0 to 20 and around 256, of ranges, proofs between them, and the tiles of the whole tree.
pub fn document() -> Value {
    let leaves: Vec<Hash> = (0..LEAVES).map(|at| leaf_hash(&at.to_be_bytes())).collect();
    let roots = (0..=20).chain(255..=LEAVES).map(|size| {
        let root = root(&leaves[..size as usize]);
        let mut range = CompactRange::new();
        leaves[..size as usize].iter().for_each(|leaf| range.push(*leaf));
        assert_eq!(range.root(), root);
        json!({ "size": size, "root": hex(&root.0) })
    });
    json!({
        "entries": "entry i is i as u64, big-endian, 8 bytes",
        "leaves": leaves.iter().map(|leaf| hex(&leaf.0)).collect::<Vec<_>>(),
        "roots": roots.collect::<Vec<_>>(),
        "ranges": ranges(&leaves),
        "ranges_refused": ranges_refused(&leaves),
        "inclusion": inclusion(&leaves),
        "consistency": consistency(&leaves),
        "tiles": tiles(&leaves),
        "tile_paths": tile_paths(),
    })
}

/// Nodes by way of tiles of a tree of `size`, as a store serves them.
fn nodes(leaves: &[Hash], size: u64) -> TileNodes<impl Fn(TileId) -> Result<Vec<Hash>>> {
    let tiles = tiles_of(leaves, size);
    TileNodes::new(size, move |id| {
        let found = tiles.iter().find(|(other, _)| *other == id);
        found.map(|(_, hashes)| hashes.clone()).ok_or_else(|| Error::malformed("tile", format!("{id:?}")))
    })
}

fn tiles_of(leaves: &[Hash], size: u64) -> Vec<(TileId, Vec<Hash>)> {
    let mut tiles = Vec::new();
    let mut builder = TileBuilder::new();
    for leaf in &leaves[..size as usize] {
        builder.push(*leaf, &mut |id, hashes| tiles.push((id, hashes.to_vec())));
    }
    tiles.extend(builder.partials().into_iter().map(|(id, hashes)| (id, hashes.to_vec())));
    tiles
}

fn hashes(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(|hash| hex(&hash.0)).collect()
}

fn ranges(leaves: &[Hash]) -> Vec<Value> {
    let nodes = nodes(leaves, LEAVES);
    RANGES
        .into_iter()
        .map(|(first, last)| {
            let of_nodes = range_root(&nodes, first, last).unwrap();
            assert_eq!(of_nodes, root(&leaves[first as usize..last as usize]), "{first}..{last}");
            json!({ "first": first, "last": last, "root": hex(&of_nodes.0) })
        })
        .collect()
}

fn ranges_refused(leaves: &[Hash]) -> Vec<Value> {
    let nodes = nodes(leaves, LEAVES);
    NOT_RANGES
        .into_iter()
        .map(|(first, last)| {
            assert!(range_root(&nodes, first, last).is_err(), "{first}..{last}");
            json!({ "first": first, "last": last })
        })
        .collect()
}

fn inclusion(leaves: &[Hash]) -> Vec<Value> {
    let mut vectors = Vec::new();
    for size in PROVEN_SIZES {
        let nodes = nodes(leaves, size);
        let root = root_at(&nodes, size).unwrap();
        for index in (0..size).filter(|index| size <= 20 || [0, 1, 127, 128, 254, 255, 256].contains(index)) {
            let proof = inclusion_proof(&nodes, index, size).unwrap();
            verify_inclusion(&proof, index, size, &leaves[index as usize], &root).unwrap();
            vectors.push(json!({ "size": size, "index": index, "proof": hashes(&proof) }));
        }
    }
    vectors
}

fn consistency(leaves: &[Hash]) -> Vec<Value> {
    let mut vectors = Vec::new();
    for new in PROVEN_SIZES {
        let nodes = nodes(leaves, new);
        for old in [0].into_iter().chain(PROVEN_SIZES.into_iter().filter(|old| *old <= new)) {
            let proof = consistency_proof(&nodes, old, new).unwrap();
            let (before, now) = (root(&leaves[..old as usize]), root(&leaves[..new as usize]));
            verify_consistency(&proof, old, new, &before, &now).unwrap();
            vectors.push(json!({ "old": old, "new": new, "proof": hashes(&proof) }));
        }
    }
    vectors
}

fn tiles(leaves: &[Hash]) -> Vec<Value> {
    [1, 255, 256, LEAVES]
        .into_iter()
        .map(|size| {
            let mut tiles = tiles_of(leaves, size);
            tiles.sort_by_key(|(id, _)| *id);
            let tiles = tiles.into_iter().map(|(id, hashes)| {
                let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
                json!({ "path": layout::tile(id), "blake3": blake3::hash(&bytes).to_hex().as_str() })
            });
            json!({ "size": size, "tiles": tiles.collect::<Vec<_>>() })
        })
        .collect()
}

fn tile_paths() -> Vec<Value> {
    let places = [(0, 0, 256), (0, 999, 1), (0, 1000, 256), (1, 1_234_067, 17), (7, 1_000_000_000, 255)];
    places
        .into_iter()
        .map(|(level, index, width)| {
            let id = TileId { level, index, width };
            let path = layout::tile(id);
            assert_eq!(layout::parse_tile(&path).unwrap(), id);
            json!({ "level": level, "index": index, "width": width, "path": path })
        })
        .collect()
}
