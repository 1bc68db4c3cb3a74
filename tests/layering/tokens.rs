//! Rust source as tokens, as far as the house rules ask.

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// An identifier or number, or one punctuation character; literals are `""`.
    pub text: String,
    /// What a literal has between its quotes.
    pub literal: String,
    /// From 1.
    pub line: usize,
}

/// Splits Rust source into tokens: no comments, no contents of literals, so that neither an
/// intra-doc link nor a message is taken for code.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    // not a lifetime
    let is_character = |i: usize| at(i) == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'');
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let (start, first_line) = (i, line);
        let mut literal = false;
        let c = at(i);
        if c.is_whitespace() {
            i += 1;
        } else if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if let Some(end) = raw_string(&chars, i) {
            (literal, i) = (true, end);
        } else if c == '"' || (matches!(c, 'b' | 'c') && at(i + 1) == '"') {
            i += if c == '"' { 1 } else { 2 };
            while i < chars.len() && at(i) != '"' {
                i += if at(i) == '\\' { 2 } else { 1 };
            }
            (literal, i) = (true, i + 1);
        } else if c == 'b' && at(i + 1) == '\'' || is_character(i) {
            i += usize::from(c == 'b');
            i += if at(i + 1) == '\\' { 3 } else { 2 };
            while i < chars.len() && at(i) != '\'' {
                i += 1;
            }
            (literal, i) = (true, i + 1);
        } else if is_word(c) {
            while is_word(at(i)) {
                i += 1;
            }
        } else {
            i += 1;
        }
        i = i.min(chars.len());
        line += chars[start..i].iter().filter(|c| **c == '\n').count();
        let comment = c == '/' && i > start + 1;
        if literal {
            let literal = chars[start..i].iter().collect::<String>();
            let literal = literal.trim_start_matches(['b', 'c', 'r', '#']).trim_matches(['"', '#']);
            found.push(Token {
                text: "\"\"".to_owned(),
                literal: literal.to_owned(),
                line: first_line,
            });
        } else if !c.is_whitespace() && !comment {
            let text = chars[start..i].iter().collect();
            found.push(Token { text, literal: String::new(), line: first_line });
        }
    }
    found
}

/// End of the raw string that starts at `i`, if one does: `r"`, `r#"`, `br"`, `cr##"`.
fn raw_string(chars: &[char], i: usize) -> Option<usize> {
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    if i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_') {
        return None;
    }
    let r = if matches!(at(i), 'b' | 'c') { i + 1 } else { i };
    if at(r) != 'r' {
        return None;
    }
    let hashes = (r + 1..).take_while(|&i| at(i) == '#').count();
    let open = r + 1 + hashes;
    if at(open) != '"' {
        return None;
    }
    let closes = |i: usize| at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#');
    Some((open + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes))
}

/// Removes the items under `#[cfg(test)]`. Returns the rest, and the names of the removed
/// modules whose code is in a file of its own.
pub fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let text = |i: usize| tokens.get(i).map_or("", |t: &Token| t.text.as_str());
    // behind the bracket that closes the one at `i`
    let close = |mut i: usize| {
        let mut depth = 0;
        while i < tokens.len() {
            match text(i) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            i += 1;
            if depth == 0 {
                break;
            }
        }
        i
    };
    let is_test = |i: usize| {
        text(i) == "#"
            && text(i + 1) == "["
            && text(i + 2) == "cfg"
            && (text(i + 4) == "test" && text(i + 5) == ")"
                || text(i + 4) == "all"
                    && text(i + 6) == "test"
                    && matches!(text(i + 7), "," | ")"))
    };
    let (mut rest, mut files, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if !is_test(i) {
            rest.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i = close(i + 1);
        while text(i) == "#" {
            i = close(i + 1);
        }
        // the item ends with its first block, or with `;` before one
        let mut name = None;
        while i < tokens.len() {
            match text(i) {
                "mod" => name = Some(text(i + 1).to_owned()),
                "{" => {
                    i = close(i);
                    break;
                }
                "(" | "[" => {
                    i = close(i);
                    continue;
                }
                ";" => {
                    files.extend(name.take());
                    i += 1;
                    break;
                }
                _ => {}
            }
            i += 1;
        }
    }
    (rest, files)
}
