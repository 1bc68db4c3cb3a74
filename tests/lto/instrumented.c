//# what: a build that collects a profile is no kernel to patch
//# build: plain
//# flags: -fprofile-instr-generate
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
