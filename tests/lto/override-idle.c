//# what: a change in a weak function that never runs, since another file overrides it
//# build: plain
//# also: gcc-12
//# exit: 2
//# says: arch_setup
//@ a.c
int arch_setup(int v);
#ifdef PATCHED
#define N 5
#else
#define N 7
#endif
int __attribute__((weak)) arch_setup(int v) { return v + N; }
int user(int v) { return arch_setup(v) + 1; }
//@ b.c
int other(int v) { return v - 4; }
int arch_setup(int v) { return v * 17; }
