//# what: the importer goes away, and a promoted function becomes static again
//# needs: scale.llvm.
//# without: scale.llvm.
//# changed: user
//@ a.c
void out(const char *, int);
static int __attribute__((noinline)) scale(int v) { out("scale", v); return v * 3 + 1; }
int api(int v) { return scale(v) + 7; }
//@ b.c
int api(int);
void out(const char *, int);
int user(int v)
{
#ifdef PATCHED
	out("none", v);
	return v;
#else
	return api(v) * 2;
#endif
}
