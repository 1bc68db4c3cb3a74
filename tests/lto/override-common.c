//# what: a definition replaces a common symbol: it exists in the kernel already
//# build: plain
//# also: gcc-12
//# exit: 2
//# says: shared
//@ a.c
int __attribute__((common)) shared;
int user(int v) { return shared + v; }
//@ b.c
int other(int v) { return v - 4; }
#ifdef PATCHED
int shared = 5;
#endif
