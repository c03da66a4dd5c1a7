//! Mutated configurations, without a fuzzer's machinery: a few thousand with every test run, and as many as one
//! likes with `MHNAT_FUZZ_INPUTS=1000000 cargo test --release -p mhnat-core --test fuzz -- --nocapture`. The seed is
//! printed; `MHNAT_FUZZ_SEED` repeats a run. An input that makes a property fail is left in the target directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "../../fuzz/src/properties.rs"]
mod properties;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seeds that are tried at the same time.
const THREADS: u64 = 2;

#[test]
fn no_configuration_makes_it_panic() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let inputs = number("MHNAT_FUZZ_INPUTS").unwrap_or(2_000);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("MHNAT_FUZZ_SEED").unwrap_or(now);
    let (corpus, words) = (corpus(), dictionary());
    println!("seed {seed}, {inputs} inputs from {} files and {} words", corpus.len(), words.len());
    let begun = Instant::now();
    let accepted: u64 = std::thread::scope(|scope| {
        let (corpus, words) = (&corpus, &words);
        let share = |thread| run(thread, seed, inputs.div_ceil(THREADS), corpus, words);
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || share(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{accepted} were accepted and planned; {:.1} s", begun.elapsed().as_secs_f64());
    assert!(accepted > inputs / 100, "the mutations are too wild to reach the planner");
}

fn run(thread: u64, seed: u64, inputs: u64, corpus: &[Vec<u8>], words: &[Vec<u8>]) -> u64 {
    let mut random = Random(seed.wrapping_mul(THREADS).wrapping_add(thread));
    let mut accepted = 0;
    for _ in 0..inputs {
        let mut input = random.of(corpus).clone();
        // Half of them once, so that what is right often stays right.
        for _ in 0..1 + random.below(2) * random.below(4) {
            mutate(&mut input, &mut random, corpus, words);
        }
        input.truncate(1 << 14);
        let outcome = catch_unwind(AssertUnwindSafe(|| match properties::config(&input) {
            Some(model) => {
                properties::planner(&model);
                1
            }
            None => 0,
        }));
        accepted += outcome.unwrap_or_else(|_| {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-failure.toml");
            fs::write(&file, &input).unwrap();
            panic!("seed {seed}: see {}:\n{}", file.display(), String::from_utf8_lossy(&input));
        });
    }
    accepted
}

fn mutate(input: &mut Vec<u8>, random: &mut Random, corpus: &[Vec<u8>], words: &[Vec<u8>]) {
    let (from, to) = random.range(input.len(), 64);
    match random.below(10) {
        0 => {
            if let Some(byte) = input.get_mut(from) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => drop(input.drain(from..to)),
        2 => drop(input.splice(from..from, random.of(words).iter().copied())),
        // A word or a part of another file in the place of something.
        3 => drop(input.splice(from..to, random.of(words).iter().copied())),
        4 => {
            let other = random.of(corpus);
            let (start, end) = random.range(other.len(), 400);
            drop(input.splice(from..to, other[start..end].iter().copied()));
        }
        // Whole lines: they keep the syntax right, so that what is behind the parser is reached.
        5 => lines(input, random, |lines, at, _| drop(lines.remove(at))),
        6 => lines(input, random, |lines, at, other| lines.insert(other, lines[at].clone())),
        7 => lines(input, random, |lines, at, other| lines.swap(at, other)),
        // A value in the place of another.
        _ => {
            let word = random.of(words).clone();
            lines(input, random, |lines, at, _| {
                if let Some(equals) = lines[at].iter().position(|byte| *byte == b'=') {
                    lines[at].truncate(equals + 1);
                    lines[at].extend(word);
                }
            });
        }
    }
}

fn lines(input: &mut Vec<u8>, random: &mut Random, change: impl FnOnce(&mut Vec<Vec<u8>>, usize, usize)) {
    let mut lines: Vec<Vec<u8>> = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    change(&mut lines, at, other);
    *input = lines.join(&b'\n');
}

/// The examples, and everything that tests hold to be wrong.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut corpus = Vec::new();
    // The examples many times, so that half of the inputs come from what is right.
    for (directory, times) in [("../examples", 12), ("tests/broken", 1)] {
        let mut paths: Vec<_> =
            fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|it| it == "toml")) {
            corpus.extend(std::iter::repeat_n(fs::read(path).unwrap(), times));
        }
    }
    assert!(corpus.len() > 50, "no files to begin with");
    corpus
}

/// The words of the dictionary that libFuzzer reads as well: one in quotes a line, with `\\`, `\"` and `\xAB`.
fn dictionary() -> Vec<Vec<u8>> {
    include_str!("../../fuzz/config.dict").lines().map(unquote).collect()
}

fn unquote(line: &str) -> Vec<u8> {
    let mut rest = line.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap().as_bytes();
    let mut word = Vec::new();
    while let Some((first, behind)) = rest.split_first() {
        (word, rest) = match (first, behind) {
            (b'\\', [b'x', high, low, behind @ ..]) => {
                let digits = [*high, *low];
                let text = std::str::from_utf8(&digits).unwrap();
                ([word, vec![u8::from_str_radix(text, 16).unwrap()]].concat(), behind)
            }
            (b'\\', [escaped, behind @ ..]) => ([word, vec![*escaped]].concat(), behind),
            _ => ([word, vec![*first]].concat(), behind),
        };
    }
    word
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Two offsets in a text of this length, the second not before the first.
    fn range(&mut self, length: usize, longest: usize) -> (usize, usize) {
        let from = self.below(length + 1);
        (from, (from + self.below(longest)).min(length))
    }
}
