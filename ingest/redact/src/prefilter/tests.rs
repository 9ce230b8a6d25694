use super::grams;
use std::collections::BTreeMap;
#[test]
fn tmp_stats() {
    let g = grams::Grams::compile(grams::all());
    let c = std::fs::read_to_string("/tmp/redact-corpus200k.ndjson").unwrap();
    let mut m: BTreeMap<String, usize> = BTreeMap::new();
    let mut blocks = 0; let mut bits=0;
    for l in c.lines().take(20000) {
        let _ = g.scan(l.as_bytes(), |t, p| { let k=format!("{:?}", &l[p..p+4]); let _=t; *m.entry(k).or_default() += 1; std::ops::ControlFlow::Continue(()) });
        let b = l.as_bytes();
        let mut lastb = usize::MAX;
        for p in 0..b.len()-3 { if g.bit(u32::from_le_bytes([b[p],b[p+1],b[p+2],b[p+3]])) & 1 == 1 { bits+=1; if p/8 != lastb {blocks+=1; lastb=p/8;} } }
    }
    let mut v: Vec<_> = m.into_iter().collect(); v.sort_by_key(|x| std::cmp::Reverse(x.1));
    println!("blocks/line {} bits/line {}", blocks as f64/20000., bits as f64/20000.);
    for x in v.iter().take(40) { println!("{} {:.3}", x.0, x.1 as f64/20000.); }
}
