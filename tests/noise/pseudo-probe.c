//# what: probes by which a profile is matched with source: hashes of the names of functions
//# compilers: clang-14 clang-16 clang-19 clang-22
//# flags: -fpseudo-probe-for-profiling
//# rule: pseudo-probe .pseudo_probe_desc
//# real: 0 changed function: caller
int callee(int);
int caller(int v)
{
#ifdef REAL
	return callee(v + 2);
#else
	return callee(v + 1);
#endif
}
/* A function that is nowhere but in the list. */
#ifdef NOISE
static inline int unused(int v) { return v > 3 ? callee(v) : v; }
int also(int v);
asm(".section .pseudo_probe_desc,\"\",@progbits\n.quad 0x1122334455667788, 99\n.byte 4\n.ascii \"gone\"\n.text");
#endif
