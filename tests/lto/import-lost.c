//# what: a function that grew is not imported any more: its callers in other files changed, too
//# build: thin cache
//# changed: api user
//# says: re-inlined: api is inlined -> calls api
//@ a.c
void out(const char *, int);
int state;
int api(int v)
{
#ifdef PATCHED
#define S(n) out("step", v + n); state += v * n; if (state > n) out("big", state);
	S(1) S(2) S(3) S(4) S(5) S(6) S(7) S(8) S(9) S(10) S(11) S(12) S(13) S(14)
#endif
	return v + 7 + state;
}
//@ b.c
int api(int);
int user(int v) { return api(v) * 2; }
