//! Where a journal may lie: on a disk of this host. Where other hosts write too, or where a program answers for the disk,
//! a lock need not keep a second broker out, and what was synced need not be on any disk (known failure H16).

use std::path::Path;

use rustix::fs::statfs;

use super::OpenError;
use super::file::store;

/// The kinds that are refused, by the number that the kernel gives them (`linux/magic.h`).
const REFUSED: [(u32, &str); 19] = [
    (0x0000_6969, "NFS"),
    (0x6573_5546, "FUSE"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564c, "NCP"),
    (0x0102_1997, "9P"),
    (0x7461_636f, "OCFS2"),
    (0x0116_1970, "GFS2"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0xaad7_aaea, "PanFS"),
    (0x786f_4256, "VirtualBox shared folders"),
    (0xbacb_acbc, "VMware shared folders"),
    (0x7c7c_6673, "Parallels shared folders"),
];

/// The name of a kind of file system on which no broker keeps a journal.
fn refused(kind: u32) -> Option<&'static str> {
    REFUSED.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
}

/// Refuses a path on a file system that keeps no second broker out. Nothing is opened.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let found = statfs(path).map_err(|error| store(path, &error))?;
    // The number has 32 bits, in whatever the kernel hands it over.
    match u32::try_from(found.f_type).ok().and_then(refused) {
        Some(name) => Err(OpenError::FileSystem { path: path.into(), name }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_hosts_or_programs_answer_for_is_refused_by_name() {
        for (kind, name) in [(0x6969, "NFS"), (0x6573_5546, "FUSE"), (0xff53_4d42, "CIFS"), (0x0102_1997, "9P")] {
            assert_eq!(refused(kind), Some(name));
        }
        // ext4, xfs, btrfs, tmpfs, zfs, f2fs, overlayfs
        for kind in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0xf2f5_2010, 0x794c_7630] {
            assert_eq!(refused(kind), None, "{kind:#x}");
        }
        for (at, (kind, _)) in REFUSED.iter().enumerate() {
            assert!(REFUSED.iter().skip(at + 1).all(|(other, _)| other != kind), "{kind:#x} twice");
        }
    }

    #[test]
    fn the_refusal_says_what_to_do_and_a_disk_of_this_host_is_none() {
        let refusal = OpenError::FileSystem { path: "/mnt/x".into(), name: "NFS" }.to_string();
        assert!(refusal.contains("`/mnt/x` lies on NFS") && refusal.contains("move the journal"), "{refusal}");
        let directory = tempfile::tempdir().unwrap();
        check(directory.path()).unwrap();
        assert!(check(&directory.path().join("none")).is_err());
    }
}
