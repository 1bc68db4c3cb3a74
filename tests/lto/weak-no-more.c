//# what: a function that is not weak any more, and has no rival, is the same
//# build: plain
//# also: gcc-12
//# changed: other
//@ a.c
#ifdef PATCHED
#define __weak
#else
#define __weak __attribute__((weak))
#endif
int arch_setup(int v);
int __weak arch_setup(int v) { return v * 9; }
//@ b.c
#ifdef PATCHED
#define N 5
#else
#define N 7
#endif
int arch_setup(int v);
int user(int v) { return arch_setup(v) + 1; }
int other(int v) { return v - N; }
