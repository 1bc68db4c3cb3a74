//# what: the promoted function changed; importers only name it otherwise
//# build: thin cache
//# needs: scale.llvm.
//# changed: scale
//@ a.c
void out(const char *, int);
#ifdef PATCHED
#define FACTOR 5
#else
#define FACTOR 3
#endif
static int __attribute__((noinline)) scale(int v) { out("scale", v); return v * FACTOR + 1; }
int api(int v) { return scale(v) + 7; }
//@ b.c
int api(int);
int user(int v) { return api(v) * 2; }
