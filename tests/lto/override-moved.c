//# what: the strong definition moves from one file to another, past a weak one, and nothing changes
//# build: plain
//# also: gcc-12
//@ a.c
int arch_setup(int v);
int __attribute__((weak)) arch_setup(int v) { return v; }
int user(int v) { return arch_setup(v) + 1; }
//@ b.c
int other(int v) { return v - 4; }
#ifndef PATCHED
int arch_setup(int v) { return v * 17; }
#endif
//@ c.c
int third(int v) { return v - 5; }
#ifdef PATCHED
int arch_setup(int v) { return v * 17; }
#endif
