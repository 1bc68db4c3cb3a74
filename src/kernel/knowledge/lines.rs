//! Which argument of which function of the kernel is a line number.
//!
//! Checklist for a new callee: a row in `CALLEES` with the header that declares it, and a pair
//! of sources in the tests in which only the line differs.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

/// How a function of the kernel is told its line number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// As the argument at this position; the first one is 0.
    At(usize),
    /// As the one that follows the name of the calling function, at one of these positions: the
    /// place changed between versions.
    BehindFunction(&'static [usize]),
    /// By the format at this position, whose arguments follow it.
    Format(usize),
}

/// Functions that are told a line number.
static CALLEES: [(&str, Takes); 18] = [
    // include/linux/kernel.h: (file, line), (file, line, offset)
    ("__might_sleep", Takes::At(1)),
    ("___might_sleep", Takes::At(1)),
    ("__might_resched", Takes::At(1)),
    ("__might_fault", Takes::At(1)),
    ("__cant_sleep", Takes::At(1)),
    ("__cant_migrate", Takes::At(1)),
    // include/linux/lockdep.h: (file, line, text)
    ("lockdep_rcu_suspicious", Takes::At(1)),
    // include/asm-generic/bug.h: (file, line), (file, line, [taint,] format, ...)
    ("warn_slowpath_null", Takes::At(1)),
    ("warn_slowpath_fmt", Takes::At(1)),
    ("warn_slowpath_fmt_taint", Takes::At(1)),
    // fs/btrfs/messages.h, transaction.h, ctree.h: (trans, [root,] function, line, error, ...)
    ("__btrfs_abort_transaction", Takes::BehindFunction(&[2, 3])),
    // (info, function, line, error, format, ...); once with a format of its own
    ("__btrfs_handle_fs_error", Takes::BehindFunction(&[2])),
    ("__btrfs_std_error", Takes::BehindFunction(&[2])),
    ("__btrfs_panic", Takes::BehindFunction(&[2])),
    // include/linux/printk.h, include/asm-generic/bug.h
    ("printk", Takes::Format(0)),
    ("_printk", Takes::Format(0)),
    ("__warn_printk", Takes::Format(0)),
    ("_printk_deferred", Takes::Format(0)),
];

/// How `callee` is told its line number; `None` where it is not known to take one.
pub fn takes_line(callee: &str) -> Option<Takes> {
    CALLEES.iter().find(|(name, _)| *name == callee).map(|&(_, takes)| takes)
}

/// Formats of the kernel's macros that give a line in other words than [`says_line`] knows, with
/// the argument behind the format that is the line: `ASSERT_RTNL` (include/linux/rtnetlink.h).
static FORMATS: [(&[u8], usize); 1] = [(b"RTNL: assertion failed at %s (%d)\n", 1)];

/// Whether the argument of a format is a line by the words of the format: it is a whole number,
/// and is printed behind a text, which is the argument before it and must be the name of the
/// file or the function, with nothing between but `:`, or the word `line` and marks. The first
/// argument behind the format is 0.
pub fn says_line(format: &[u8], argument: usize) -> bool {
    if FORMATS.contains(&(format, argument)) {
        return true;
    }
    let Some(found) = conversions(format) else { return false };
    let number = found.iter().position(|c| c.argument == argument);
    let Some(i) = number.filter(|&i| i > 0) else { return false };
    let (Some(text), Some(line)) = (found.get(i - 1), found.get(i)) else { return false };
    let bytes = |from, to| format.get(from..to).unwrap_or_default();
    let is_number = matches!(line.kind, b'd' | b'i' | b'u') && !line.is_wide;
    is_number
        && bytes(text.start, text.end) == b"%s"
        && text.argument + 1 == argument
        && introduces_line(bytes(text.end, line.start))
}

/// Whether the bytes between a name and a number say that the number is a line.
fn introduces_line(between: &[u8]) -> bool {
    // The name of a function, or in quotes.
    let closed = [&b"()"[..], b"'", b"\"", b"]", b">"];
    let between = closed.iter().find_map(|c| between.strip_prefix(*c)).unwrap_or(between);
    if between == b":" {
        return true;
    }
    let words = between.to_ascii_lowercase();
    let end = words.iter().rposition(|b| !b" :#=".contains(b)).map_or(0, |last| last + 1);
    let Some(before) = words.get(..end).and_then(|w| w.strip_suffix(b"line")) else { return false };
    let mark = |b: &u8| b" ,;:-([@/".contains(b);
    let rest = before.iter().rposition(|b| *b != b' ').map_or(0, |last| last + 1);
    let before = before.get(..rest).unwrap_or_default();
    let before = [&b" at"[..], b" on", b" in"]
        .iter()
        .find_map(|word| before.strip_suffix(*word))
        .unwrap_or(before);
    // A word that runs into `line` makes another one of it.
    between.iter().take(1).all(mark) && before.iter().all(mark)
}

/// One conversion of a format.
struct Conversion {
    /// Its `%`.
    start: usize,
    /// Behind its last byte.
    end: usize,
    /// The letter that says what it is.
    kind: u8,
    /// Its argument, counted from the one behind the format.
    argument: usize,
    /// Its width or precision is an argument, too.
    is_wide: bool,
}

/// The conversions of a format of the kernel's printf (lib/vsprintf.c), but for `%%`. `None`
/// where one is not known.
fn conversions(format: &[u8]) -> Option<Vec<Conversion>> {
    let mut found = Vec::new();
    let (mut at, mut argument) = (0, 0);
    while let Some(start) = format.get(at..)?.iter().position(|&b| b == b'%').map(|i| at + i) {
        let mut end = start + 1;
        let mut is_wide = false;
        while let Some(&b) = format.get(end).filter(|b| b"-+ #0123456789.*hlLqjzt".contains(b)) {
            if b == b'*' {
                argument += 1;
                is_wide = true;
            }
            end += 1;
        }
        let kind = *format.get(end)?;
        at = end + 1;
        match kind {
            b'%' if end == start + 1 => continue,
            b'd' | b'i' | b'u' | b'x' | b'X' | b'o' | b'c' | b's' | b'p' => {}
            _ => return None,
        }
        found.push(Conversion { start, end: at, kind, argument, is_wide });
        argument += 1;
    }
    Some(found)
}

/// Whether a text can be what `__FILE__` was, where a source file of the object has one of these
/// names: the path of that file, or of a header.
pub fn is_file<'n>(text: &[u8], mut sources: impl Iterator<Item = &'n str>) -> bool {
    let name = text.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let is_path = name.len() < text.len();
    (is_path && name.len() > 2 && name.ends_with(b".h"))
        || is_source(name) && sources.any(|s| s.rsplit('/').next().unwrap_or(s).as_bytes() == name)
}

/// Whether the name of a file is that of a source.
fn is_source(name: &[u8]) -> bool {
    [&b".c"[..], b".S", b".rs"].iter().any(|end| name.ends_with(end) && name.len() > end.len())
}

/// Whether a compiler calls the constant that holds a function's name so: gcc and clang number
/// `__func__` and its spellings, or add the function's name. No source can use these names.
pub fn is_function_name(symbol: &str) -> bool {
    let stem = symbol.split('.').next().unwrap_or(symbol);
    ["__func__", "__FUNCTION__", "__PRETTY_FUNCTION__"].contains(&stem)
}

/// Whether a jump to a symbol is one to where a register says: the thunks of
/// arch/x86/lib/retpoline.S and arch/s390/include/asm/nospec-insn.h, but for returns.
pub fn jumps_anywhere(symbol: &str) -> bool {
    symbol.starts_with("__x86_indirect_")
        || symbol.strip_prefix("__s390_indirect_jump_r").is_some_and(|rest| !rest.starts_with("14"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callees() {
        assert_eq!(takes_line("__might_sleep"), Some(Takes::At(1)));
        assert_eq!(takes_line("_printk"), Some(Takes::Format(0)));
        assert_eq!(takes_line("printk_ratelimited"), None);
        assert_eq!(takes_line("warn_slowpath_other"), None);
        assert!(jumps_anywhere("__x86_indirect_thunk_rax"));
        assert!(jumps_anywhere("__s390_indirect_jump_r1"));
        assert!(!jumps_anywhere("__s390_indirect_jump_r14") && !jumps_anywhere("f"));
    }

    #[test]
    fn formats() {
        for (format, argument) in [
            ("%s:%d\n", 1),
            ("%d %s %s:%d\n", 3),
            ("\x013%s: at 100%% of %s:%d: %d\n", 2),
            ("%s line %d: x %d\n", 1),
            ("%s, line %u\n", 1),
            ("%s: at line %d\n", 1),
            ("%s (line %d)\n", 1),
            ("%s(), Line: %d\n", 1),
            ("%s():%d\n", 1),
            ("%*d %s:%d\n", 3),
            ("%pI4 %s:%ld\n", 2),
            ("RTNL: assertion failed at %s (%d)\n", 1),
        ] {
            assert!(says_line(format.as_bytes(), argument), "{format:?}");
        }
        for (format, argument) in [
            ("%s:%d\n", 0),
            ("%s:%d\n", 2),
            ("%s:%d: %d\n", 2),
            ("%s: %d\n", 1),
            ("%s: error %d\n", 1),
            ("%s: at most %d entries\n", 1),
            ("%s: retry:%d\n", 1),
            ("retry:%d\n", 0),
            ("line %d\n", 0),
            ("%d:%d\n", 1),
            ("%s:%x\n", 1),
            ("%s:%*d\n", 1),
            ("%s:%*d\n", 2),
            ("%10s:%d\n", 1),
            ("%s%d\n", 1),
            ("%s (%d)\n", 1),
            ("%s: offline %d\n", 1),
            ("%s: baseline:%d\n", 1),
            ("%sline %d\n", 1),
            ("%s lines %d\n", 1),
            ("%s: cache line %d\n", 1),
            ("%s: %llu:%f %s:%d\n", 4),
            ("%", 0),
            ("", 0),
        ] {
            assert!(!says_line(format.as_bytes(), argument), "{format:?}");
        }
    }

    #[test]
    fn names() {
        let file = |text: &str| is_file(text.as_bytes(), ["dev.c", "entry.S"].into_iter());
        assert!(file("net/core/dev.c") && file("dev.c") && file("./include/linux/sock.h"));
        assert!(file("arch/x86/entry.S"));
        assert!(!file("foo.c") && !file("net/foo.c") && !file("sock.h") && !file("dev.c.h"));
        assert!(!file(".c") && !file("") && !file("dev") && !file("x/.h"));
        assert!(is_function_name("__func__.0") && is_function_name("__func__.probe"));
        assert!(is_function_name("__PRETTY_FUNCTION__.3") && is_function_name("__func__"));
        assert!(!is_function_name("__func__x") && !is_function_name("my__func__.0"));
    }
}
