//# what: what another file counts is no matter
//# build: plain
//# flags: -fprofile-instr-generate
//# needs: __llvm_prf_cnts
//# changed: work
//@ a.c
int other(int v)
{
	return v * 3;
}
//@ b.c
__attribute__((no_profile_instrument_function)) int work(int v)
{
#ifdef PATCHED
	if (v > 7)
		return 1;
#endif
	return v * 3;
}
