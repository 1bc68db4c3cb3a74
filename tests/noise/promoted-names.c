//# what: the hash in promoted names covers the lines of the whole file
//# build: thin
//# compilers: clang-14 clang-16 clang-19 clang-22
//# flags: -gmlt
//# needs: scale.llvm.
//# real: 0 changed function: scale
void out(const char *, int);
#ifdef SECOND
int api(int);
int user(int v) { return api(v) * 2; }
#else
#ifdef NOISE
#line 100
#endif
#ifdef REAL
#define FACTOR 5
#else
#define FACTOR 3
#endif
static int __attribute__((noinline)) scale(int v) { out("scale", v); return v * FACTOR + 1; }
int api(int v) { return scale(v) + 7; }
#endif
