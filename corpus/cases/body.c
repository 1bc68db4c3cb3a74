//# what: the body of one function changes and its neighbours do not
//# changed: refill_bucket
#include "kernel.h"

struct bucket {
	u32 tokens;
	u32 limit;
	u32 step;
};

u32 drain_bucket(struct bucket *bucket, u32 amount)
{
	if (bucket->tokens < amount)
		return 0;
	bucket->tokens -= amount;
	return amount;
}

void refill_bucket(struct bucket *bucket)
{
#ifdef PATCHED
	if (bucket->tokens > bucket->limit - bucket->step) {
		bucket->tokens = bucket->limit;
		return;
	}
#endif
	bucket->tokens += bucket->step;
}

void reset_bucket(struct bucket *bucket)
{
	bucket->tokens = 0;
	write_register(3, bucket->limit);
}
