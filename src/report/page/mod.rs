//! A page for review.

use super::json::Document;

/// The page.
pub fn page(_document: &Document) -> String {
    String::new()
}
