//# what: a changed function calls a static function that is new
//# changed: submit_job
//# new: job_is_valid
#include "kernel.h"

struct job {
	u32 kind;
	u32 size;
	void *buffer;
};

#ifdef PATCHED
static noinline int job_is_valid(const struct job *job)
{
	if (job->kind > 7)
		return 0;
	return job->size && read_register(job->kind) >= job->size;
}
#endif

int submit_job(struct job *job)
{
#ifdef PATCHED
	if (!job_is_valid(job))
		return -22;
#endif
	job->buffer = allocate(job->size);
	write_register(0, job->kind);
	return 0;
}

void cancel_job(struct job *job)
{
	release(job->buffer);
	job->buffer = 0;
}
