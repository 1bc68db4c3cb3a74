//# what: as build-version; the release is no matter of when it was built
//# rule: build-version
//# real: 2 init_uts_ns
#ifdef NOISE
#define VERSION "#12 SMP"
#else
#define VERSION "#9 SMP"
#endif
#ifdef REAL
#define RELEASE "6.12.1-dirty"
#else
#define RELEASE "6.12.1"
#endif
struct names { char system[65], node[65], release[65], version[65], machine[65], domain[65]; };
struct uts { int count; struct names name; } init_uts_ns =
	{ 2, { "Linux", "(none)", RELEASE, VERSION, "x86_64", "(none)" } };
