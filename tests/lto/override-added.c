//# what: a strong function in another file replaces a weak one: the running one is redirected
//# build: plain thin
//# also: gcc-12
//# changed: arch_setup
//@ a.c
int arch_setup(int v);
void out(const char *, int);
int __attribute__((weak)) arch_setup(int v) { if (v > 3) out("weak", v); return v; }
int user(int v) { return arch_setup(v) + 1; }
//@ b.c
int other(int v) { return v - 4; }
#ifdef PATCHED
void out(const char *, int);
int arch_setup(int v) { out("strong", v); return v * 17; }
#endif
