//# what: a function moves to another file, in objects with a profile of calls and a map of blocks
//# build: plain
//# flags: -gmlt -fdebug-info-for-profiling -fprofile-sample-use=prof.afdo -fprofile-sample-accurate -fbasic-block-sections=labels -Wno-deprecated
//# flags[clang-22]: -gmlt -fdebug-info-for-profiling -fprofile-sample-use=prof.afdo -fprofile-sample-accurate -fbasic-block-address-map
//# changed: edited
//# needs: .llvm.call-graph-profile
//# needs-patched: .llvm_bb_addr_map
//@ prof.afdo
stays:90000:9000
 1: 9000
 2: 9000 helper:9000
moves:90000:9000
 1: 9000 helper:9000
edited:90000:9000
 1: 9000 helper:9000
//@ a.c
int helper(int);
int level;
int stays(int v)
{
	level++;
	return helper(v) * 3;
}
#ifndef PATCHED
int moves(int v)
{
	return helper(v) + level;
}
#endif
//@ b.c
int helper(int);
extern int level;
#ifdef PATCHED
#define N 5
#else
#define N 7
#endif
int edited(int v)
{
	return helper(v) - N;
}
#ifdef PATCHED
int moves(int v)
{
	return helper(v) + level;
}
#endif
