//# what: when and by whom the kernel was built (init/version-timestamps.c)
//# rule: build-version
//# real: 2 linux_banner
#ifdef NOISE
#define VERSION "#12 SMP PREEMPT_DYNAMIC Sat Nov 21 14:10:00 UTC 2026"
#define BY "somebody@elsewhere"
#else
#define VERSION "#9 SMP PREEMPT_DYNAMIC Fri Nov 20 17:58:00 UTC 2026"
#define BY "me@here"
#endif
#ifdef REAL
#define RELEASE "6.12.1-dirty"
#else
#define RELEASE "6.12.1"
#endif
struct names { char system[65], node[65], release[65], version[65], machine[65], domain[65]; };
struct uts { int count; struct names name; void *user; };
extern int owner;
struct uts init_uts_ns = { 2, { "Linux", "(none)", "6.12.1", VERSION, "x86_64", "(none)" }, &owner };
const char linux_banner[] = "Linux version " RELEASE " (" BY ") (compiler) " VERSION "\n";
