//# what: the function that uses the rate limit changed, too, and gets a new one
//# changed: report_loss
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
		_printk("%u packets lost\n", packets + BURST);
}
