//# what: as instrumented, for LLVM's gcov, whose own functions ftrace cannot hook
//# build: plain
//# flags: -fprofile-arcs
//# exit: 2
//# says: built to collect a profile
//@ a.c
int work(int v)
{
#ifdef PATCHED
	if (v > 7)
		return 1;
#endif
	return v * 3;
}
