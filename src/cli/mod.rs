//! Command line of `klp-diff`.
