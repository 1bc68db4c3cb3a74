//# what: another file's variable replaces a weak one: what the kernel has cannot be replaced
//# build: plain
//# also: gcc-12
//# exit: 2
//# says: level
//@ a.c
int __attribute__((weak)) level = 3;
int user(int v) { return level + v; }
//@ b.c
int other(int v) { return v - 4; }
#ifdef PATCHED
int level = 5;
#endif
