//# what: an importer comes, and a static function is promoted
//# needs-patched: scale.llvm.
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
	return api(v) * 2;
#else
	out("none", v);
	return v;
#endif
}
