//# what: -funique-internal-linkage-names puts a hash of the path into static names
//# flags: -funique-internal-linkage-names
//# needs: .__uniq.
//# changed: entry
//@ a.c
void out(const char *, int);
static int count;
static int __attribute__((noinline)) helper(int v) { out("helper", v); return v * 3 + count++; }
#ifdef PATCHED
#define FACTOR 5
#else
#define FACTOR 3
#endif
int entry(int v) { return helper(v) * FACTOR; }
int other(int v) { return helper(v) + 1; }
//@ b.c
int other(int);
int user(int v) { return other(v) * 2; }
