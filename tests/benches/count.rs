//! One case for callgrind.

use super::cases;

/// Does `case` once to warm up and once to be counted, and prints how often it repeats its operation.
pub fn run(name: &str) {
    let case = cases::ALL.iter().find(|case| case.name == name).unwrap();
    let mut repeat = (case.prepare)();
    repeat(case.repeats);
    counted_by_callgrind(&mut *repeat, case.repeats);
    println!("{}", case.repeats);
}

/// Instructions are counted from its beginning to its end: callgrind knows it by its name.
#[inline(never)]
fn counted_by_callgrind(repeat: &mut dyn FnMut(u64), times: u64) {
    repeat(times);
    // Something after the call, so that it does not become a jump, after which the end would not be seen.
    std::hint::black_box(times);
}
