//! Functions that tasks are in for ever: livepatch switches a task to a patch when none of the
//! functions that change is on its stack (Linux kernel/livepatch/transition.c), and these are
//! always on some stack.
//!
//! Checklist for a new row: the function, and the file of Linux where its loop is; a local
//! function counts only where it comes of a file of that name.

use super::names;

/// Why new code of a function does not come into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endless {
    /// The main loop of kernel threads: they sleep in it.
    Thread,
    /// Whoever sleeps is in it, kernel threads for ever.
    Sleep,
    /// Idle tasks, which are switched in the function itself, never come back from it.
    Idle,
}

/// Function, kind, and the file of Linux that has it.
type EndlessRow = (&'static str, Endless, &'static str);

use Endless::{Idle, Sleep, Thread};

/// All that are known.
pub const FUNCTIONS: [EndlessRow; 69] = [
    ("bch_allocator_thread", Thread, "drivers/md/bcache/alloc.c"),
    ("bch_gc_thread", Thread, "drivers/md/bcache/btree.c"),
    ("cifs_demultiplex_thread", Thread, "fs/smb/client/connect.c"),
    ("cleaner_kthread", Thread, "fs/btrfs/disk-io.c"),
    ("cpu_map_kthread_run", Thread, "kernel/bpf/cpumap.c"),
    ("cpu_startup_entry", Idle, "kernel/sched/idle.c"),
    ("devtmpfs_work_loop", Thread, "drivers/base/devtmpfs.c"),
    ("devtmpfsd", Thread, "drivers/base/devtmpfs.c"),
    ("dlm_thread", Thread, "fs/ocfs2/dlm/dlmthread.c"),
    ("dmcrypt_write", Thread, "drivers/md/dm-crypt.c"),
    ("ext4_lazyinit_thread", Thread, "fs/ext4/super.c"),
    ("gc_thread_func", Thread, "fs/f2fs/gc.c"),
    ("hwrng_fillfn", Thread, "drivers/char/hw_random/core.c"),
    ("io_sq_thread", Thread, "io_uring/sqpoll.c"),
    ("io_wq_worker", Thread, "io_uring/io-wq.c"),
    ("ipmi_thread", Thread, "drivers/char/ipmi/ipmi_si_intf.c"),
    ("irq_thread", Thread, "kernel/irq/manage.c"),
    ("issue_checkpoint_thread", Thread, "fs/f2fs/checkpoint.c"),
    ("issue_discard_thread", Thread, "fs/f2fs/segment.c"),
    ("issue_flush_thread", Thread, "fs/f2fs/segment.c"),
    ("jfsIOWait", Thread, "fs/jfs/jfs_logmgr.c"),
    ("jfs_lazycommit", Thread, "fs/jfs/jfs_txnmgr.c"),
    ("jfs_sync", Thread, "fs/jfs/jfs_txnmgr.c"),
    ("kauditd_thread", Thread, "kernel/audit.c"),
    ("kcompactd", Thread, "mm/compaction.c"),
    ("kdamond_fn", Thread, "mm/damon/core.c"),
    ("khugepaged", Thread, "mm/khugepaged.c"),
    ("khvcd", Thread, "drivers/tty/hvc/hvc_console.c"),
    ("kjournald2", Thread, "fs/jbd2/journal.c"),
    ("kmemleak_scan_thread", Thread, "mm/kmemleak.c"),
    ("kmmpd", Thread, "fs/ext4/mmp.c"),
    ("kprobe_optimizer_thread", Thread, "kernel/kprobes.c"),
    ("ksm_scan_thread", Thread, "mm/ksm.c"),
    ("ksmbd_conn_handler_loop", Thread, "fs/smb/server/connection.c"),
    ("kswapd", Thread, "mm/vmscan.c"),
    ("kthread", Thread, "kernel/kthread.c"),
    ("kthread_worker_fn", Thread, "kernel/kthread.c"),
    ("kthreadd", Thread, "kernel/kthread.c"),
    ("legacy_kthread_func", Thread, "kernel/printk/printk.c"),
    ("md_thread", Thread, "drivers/md/md.c"),
    ("napi_threaded_poll", Thread, "net/core/dev.c"),
    ("nbcon_kthread_func", Thread, "kernel/printk/nbcon.c"),
    ("oom_reaper", Thread, "mm/oom_kill.c"),
    ("pktgen_thread_worker", Thread, "net/core/pktgen.c"),
    ("psi_rtpoll_worker", Thread, "kernel/sched/psi.c"),
    ("qla2x00_do_dpc", Thread, "drivers/scsi/qla2xxx/qla_os.c"),
    ("rcu_gp_kthread", Thread, "kernel/rcu/tree.c"),
    ("rcu_nocb_cb_kthread", Thread, "kernel/rcu/tree_nocb.h"),
    ("rcu_nocb_gp_kthread", Thread, "kernel/rcu/tree_nocb.h"),
    ("rcu_boost_kthread", Thread, "kernel/rcu/tree_plugin.h"),
    ("rcu_tasks_kthread", Thread, "kernel/rcu/tasks.h"),
    ("rescuer_thread", Thread, "kernel/workqueue.c"),
    ("schedule", Sleep, "kernel/sched/core.c"),
    ("schedule_timeout", Sleep, "kernel/time/sleep_timeout.c"),
    ("scsi_error_handler", Thread, "drivers/scsi/scsi_error.c"),
    ("smpboot_thread_fn", Thread, "kernel/smpboot.c"),
    ("svc_recv", Thread, "net/sunrpc/svc_xprt.c"),
    ("transaction_kthread", Thread, "fs/btrfs/disk-io.c"),
    ("ubi_thread", Thread, "drivers/mtd/ubi/wl.c"),
    ("ubifs_bg_thread", Thread, "fs/ubifs/commit.c"),
    ("usb_stor_control_thread", Thread, "drivers/usb/storage/usb.c"),
    ("vhost_run_work_kthread_list", Thread, "drivers/vhost/vhost.c"),
    ("vhost_run_work_list", Thread, "drivers/vhost/vhost.c"),
    ("watchdog", Thread, "kernel/hung_task.c"),
    ("worker_thread", Thread, "kernel/workqueue.c"),
    ("writecache_endio_thread", Thread, "drivers/md/dm-writecache.c"),
    ("writecache_flush_thread", Thread, "drivers/md/dm-writecache.c"),
    ("xen_blkif_schedule", Thread, "drivers/block/xen-blkback/blkback.c"),
    ("xfsaild", Thread, "fs/xfs/xfs_trans_ail.c"),
];

/// The row of a function called `name`, which is local to the source file `file` where that is
/// known.
pub fn find(name: &str, file: Option<&str>) -> Option<&'static EndlessRow> {
    let written = names::written_name(name);
    let row = FUNCTIONS.iter().find(|row| row.0 == written)?;
    // Code of a header belongs to whatever file includes it.
    let known = file.filter(|file| file.ends_with(".c") && row.2.ends_with(".c"));
    known.is_none_or(|file| last(file) == last(row.2)).then_some(row)
}

fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_name_and_file() {
        let kind = |name, file| find(name, file).map(|row| row.1);
        assert_eq!(kind("worker_thread", Some("workqueue.c")), Some(Thread));
        assert_eq!(kind("worker_thread.llvm.123", None), Some(Thread));
        assert_eq!(kind("watchdog", Some("kernel/hung_task.c")), Some(Thread));
        assert_eq!(kind("watchdog", Some("rt.c")), None);
        assert_eq!(kind("rcu_tasks_kthread", Some("update.c")), Some(Thread));
        assert_eq!(kind("schedule", Some("ld-temp.o")), Some(Sleep));
        assert_eq!(kind("cpu_startup_entry", None), Some(Idle));
        assert_eq!(kind("do_idle", None), None);
    }

    #[test]
    fn rows_are_by_name() {
        let names = FUNCTIONS.map(|row| row.0);
        for (name, _, file) in FUNCTIONS {
            assert_eq!(names.iter().filter(|n| **n == name).count(), 1, "{name}");
            assert!(file.contains('/'), "{name}: {file}");
        }
    }
}
