//# what: an edit that changes nothing renames what the module exports to its importers
//# flags: -gmlt
//# needs: scale.llvm.
//@ a.c
void out(const char *, int);
#ifdef PATCHED
/*
 * Lines shift, and with them the hash of the module.
 */
#endif
static int __attribute__((noinline)) scale(int v) { out("scale", v); return v * 3 + 1; }
int api(int v) { return scale(v) + 7; }
//@ b.c
int api(int);
int user(int v) { return api(v) * 2; }
