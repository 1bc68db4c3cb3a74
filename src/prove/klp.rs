//! Proves a livepatch module against the kpatch module that it was made from.
