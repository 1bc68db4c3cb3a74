//# what: only the initial value of a rate limit changed; the running kernel's has its value already
//# exit: 2
#include "kernel.h"

struct limit {
	int interval;
	int burst;
	int printed;
};

int may_print(struct limit *limit);

#ifdef PATCHED
#define BURST 20
#else
#define BURST 10
#endif

void report_loss(u32 packets)
{
	static struct limit _rs = { 5000, BURST, 0 };

	if (may_print(&_rs))
		_printk("%u packets lost\n", packets);
}
