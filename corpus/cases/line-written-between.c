//# what: between the load of a line and the call other things are stored and read
//# exit: 3
//# exit[loongarch64]: 0
//# changed[loongarch64]: check_once check_state
//# exit[powerpc64-clang]: 2
#include "kernel.h"

struct state {
	u32 flags, count;
	u64 total;
};

extern struct state *current_state;
void lockdep_rcu_suspicious(const char *file, int line, const char *text);

#ifdef PATCHED
#line 1500
#else
#line 1400
#endif

u32 check_once(u32 index)
{
	static u8 __warned;

	if (unlikely(!index && !__warned)) {
		__warned = 1;
		lockdep_rcu_suspicious(__FILE__, __LINE__, "suspicious use");
	}
	return read_register(index);
}

void check_state(struct state *state, u32 flags)
{
	_printk("%s:%d: %u %lu\n", __FILE__, __LINE__, state->count,
		state->total + current_state->total);
	state->flags = flags;
	wait_for(flags);
}
