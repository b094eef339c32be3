use super::*;
use std::process::Command;

fn id(n: u64) -> DiskId {
    DiskId::new(n, [1; 10])
}

fn qemu_img(args: &[&str]) {
    assert!(Command::new("qemu-img").args(args).status().unwrap().success());
}

/// A folder, a directory driver in it, and a way to the files.
fn open() -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let storage = Directory::open(&dir.path().join("storage")).unwrap();
    (dir, storage)
}

fn made(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let mut all = vec!["create", "-q", "-f", "qcow2"];
    all.extend(args);
    let text = path.to_str().unwrap();
    all.push(text);
    all.push("64M");
    qemu_img(&all);
    path
}

fn written(file: &Path, pattern: &str) {
    let command = format!("write -P {pattern} 0 64k");
    let status = Command::new("qemu-io").args(["-f", "qcow2", "-c", &command]).arg(file).output().unwrap().status;
    assert!(status.success());
}

fn reads(file: &Path, pattern: &str) -> bool {
    let command = format!("read -P {pattern} 0 64k");
    let said = Command::new("qemu-io").args(["-f", "qcow2", "-c", &command]).arg(file).output().unwrap();
    said.status.success() && !String::from_utf8_lossy(&said.stdout).contains("failed")
}

fn disk(source: &DiskSource) -> &Path {
    match source {
        DiskSource::Qcow2(path) => path,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_clones_of_one_image_are_independent() {
    let (dir, storage) = open();
    let source = made(dir.path(), "source", &[]);
    written(&source, "0x11");
    let image = storage.import_image("debian", &source).await.unwrap();
    assert_eq!((image.virtual_bytes, image.sha256.len()), (64 << 20, 64));
    let spec = |n| DiskSpec { id: id(n), size_gib: 1, image: Some("debian".into()) };
    let (one, two) = (storage.ensure_disk(&spec(1)).await.unwrap(), storage.ensure_disk(&spec(2)).await.unwrap());
    written(disk(&one), "0x22");
    assert!(reads(disk(&one), "0x22") && reads(disk(&two), "0x11"));

    assert_eq!(storage.ensure_disk(&spec(1)).await.unwrap(), one);
    assert!(reads(disk(&one), "0x22"), "making a disk again leaves it as it is");
    assert!(storage.delete_image("debian").await.unwrap_err().to_string().contains("deleting image"));
    for n in [1, 1, 2] {
        storage.delete_disk(id(n)).await.unwrap();
    }
    storage.delete_image("debian").await.unwrap();
    storage.delete_image("debian").await.unwrap();
    assert_eq!(storage.list_disks().await.unwrap(), []);
}

#[tokio::test]
async fn a_disk_grows_and_never_shrinks() {
    let (_dir, storage) = open();
    let spec = |size_gib| DiskSpec { id: id(1), size_gib, image: None };
    for (size, expected) in [(1, 1), (3, 3), (2, 3)] {
        let source = storage.ensure_disk(&spec(size)).await.unwrap();
        let header = image::qcow2_header(&File::open(disk(&source)).unwrap()).unwrap().unwrap();
        assert_eq!(header.virtual_bytes, expected << 30);
    }
    assert!(matches!(
        storage.ensure_disk(&DiskSpec { id: id(2), size_gib: u64::MAX, image: None }).await,
        Err(Error::Permanent { .. })
    ));
}

#[tokio::test]
async fn a_disk_smaller_than_its_image_or_of_no_image_is_refused() {
    let (dir, storage) = open();
    let source = dir.path().join("large");
    qemu_img(&["create", "-q", "-f", "qcow2", source.to_str().unwrap(), "2G"]);
    storage.import_image("large", &source).await.unwrap();
    for key in ["large", "absent", "../images/large"] {
        let spec = DiskSpec { id: id(1), size_gib: 1, image: Some(key.into()) };
        assert!(matches!(storage.ensure_disk(&spec).await, Err(Error::Permanent { .. })), "{key}");
    }
    assert_eq!(fs::read_dir(storage.root.join("disks")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_not_an_image_is_refused_and_leaves_nothing() {
    let (dir, storage) = open();
    let plain = made(dir.path(), "plain", &[]);
    written(&plain, "0x11");
    let cut = dir.path().join("cut");
    fs::copy(&plain, &cut).unwrap();
    File::options().write(true).open(&cut).unwrap().set_len(plain.metadata().unwrap().len() - 65536).unwrap();
    let backed = made(dir.path(), "backed", &["-b", plain.to_str().unwrap(), "-F", "qcow2"]);
    let data = format!("data_file={}", dir.path().join("data").display());
    let external = made(dir.path(), "external", &["-o", &data]);
    let text = dir.path().join("text");
    fs::write(&text, "To whom it may concern\n").unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let vmdk = dir.path().join("vmdk");
    qemu_img(&["create", "-q", "-f", "vmdk", vmdk.to_str().unwrap(), "64M"]);
    for (file, why) in [
        (cut, "cut short"),
        (backed, "backing file"),
        (external, "another file"),
        (text, "neither qcow2"),
        (empty, "empty"),
        (vmdk, "VMDK"),
        (dir.path().to_owned(), "folder"),
        (dir.path().join("absent"), "no such file"),
    ] {
        match storage.import_image("bad", &file).await {
            Err(Error::NotAnImage(said)) => assert!(said.contains(why), "{file:?}: {said}"),
            other => panic!("{file:?}: {other:?}"),
        }
    }
    assert_eq!(fs::read_dir(storage.root.join("images")).unwrap().count(), 0);
    assert!(matches!(storage.import_image("../x", &plain).await, Err(Error::Permanent { .. })));
}

#[tokio::test]
async fn an_image_is_taken_once_and_its_hash_is_that_of_the_file() {
    let (dir, storage) = open();
    let source = made(dir.path(), "source", &[]);
    let first = storage.import_image("i", &source).await.unwrap();
    assert_eq!(storage.import_image("i", &source).await.unwrap(), first);
    let said = Command::new("sha256sum").arg(storage.image_file("i")).output().unwrap().stdout;
    assert!(said.starts_with(first.sha256.as_bytes()));
}

#[tokio::test]
async fn an_image_made_of_a_disk_is_whole_and_stands_alone() {
    let (dir, storage) = open();
    let source = made(dir.path(), "source", &[]);
    written(&source, "0x11");
    storage.import_image("debian", &source).await.unwrap();
    let clone = |n, key: &str| DiskSpec { id: id(n), size_gib: 1, image: Some(key.into()) };
    let first = storage.ensure_disk(&clone(1, "debian")).await.unwrap();
    let image = storage.capture_image("mine.qcow2", id(1)).await.unwrap();
    assert_eq!((image.virtual_bytes, image.sha256.len()), (1 << 30, 64));
    // What the image's disk had from its own image is in it; what is written afterwards is not.
    written(disk(&first), "0x22");
    assert_eq!(storage.capture_image("mine.qcow2", id(1)).await.unwrap(), image, "it is made once");
    storage.delete_disk(id(1)).await.unwrap();
    storage.delete_image("debian").await.unwrap();
    let second = storage.ensure_disk(&clone(2, "mine.qcow2")).await.unwrap();
    assert!(reads(disk(&second), "0x11"));
    assert!(fs::metadata(storage.image_file("mine.qcow2")).unwrap().permissions().readonly());

    // Another storage takes it over whole, and nothing else under its name.
    let other = Directory::open(&dir.path().join("other")).unwrap();
    for _ in 0..2 {
        other.share_image(&image, &storage.image_file("mine.qcow2")).await.unwrap();
    }
    let third = other.ensure_disk(&clone(3, "mine.qcow2")).await.unwrap();
    assert!(reads(disk(&third), "0x11"));
    let foreign = StoredImage { sha256: "0".repeat(64), ..image };
    let refused = other.share_image(&foreign, &storage.image_file("mine.qcow2")).await;
    assert!(matches!(refused, Err(Error::Permanent { .. })), "{refused:?}");
    assert!(matches!(storage.capture_image("none.qcow2", id(9)).await, Err(Error::Permanent { .. })));
    assert!(!storage.image_file("none.qcow2").exists());
    assert!(matches!(storage.capture_image("../x", id(2)).await, Err(Error::Permanent { .. })));
}

#[tokio::test]
async fn unfinished_files_are_swept_at_opening_and_others_are_kept() {
    let (_dir, storage) = open();
    storage.ensure_disk(&DiskSpec { id: id(1), size_gib: 1, image: None }).await.unwrap();
    let left = storage.root.join("disks").join(format!("{UNFINISHED}1-1"));
    fs::write(&left, "half").unwrap();
    let storage = Directory::open(&storage.root).unwrap();
    assert!(!left.exists());
    assert_eq!(storage.list_disks().await.unwrap(), [id(1)]);
}

/// On a file system of 128 KiB; needs the right to mount.
#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "none"]).arg(&small).status();
    if !mounted.is_ok_and(|s| s.success()) {
        eprintln!("skipped: a file system cannot be mounted here");
        return;
    }
    let storage = Directory::open(&small).unwrap();
    let outcome = storage.ensure_disk(&DiskSpec { id: id(1), size_gib: 1, image: None }).await;
    let left = fs::read_dir(small.join("disks")).unwrap().count();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert!(matches!(outcome, Err(Error::NoSpace { .. })), "{outcome:?}");
    assert_eq!(left, 0);
}

fn seed_spec() -> SeedSpec {
    SeedSpec {
        id: ServerId::new(1, [3; 10]),
        host_name: "web-1".into(),
        ssh_keys: vec!["ssh-ed25519 AAAA me".into()],
        user_data: Some(format!("#!/bin/sh\n# {}\n", "ü".repeat(3000))),
        additions: vec![],
        metadata: None,
    }
}

#[tokio::test]
async fn a_seed_is_a_volume_that_cloud_init_finds() {
    let (_dir, storage) = open();
    let path = storage.ensure_seed(&seed_spec()).await.unwrap().unwrap();
    let said = Command::new("/sbin/blkid").args(["-p", "-o", "export"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("LABEL=CIDATA\n") && said.contains("TYPE=iso9660\n"), "{said}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let before = path.metadata().unwrap().modified().unwrap();
    storage.ensure_seed(&seed_spec()).await.unwrap();
    assert_eq!(path.metadata().unwrap().modified().unwrap(), before, "an unchanged seed is not written again");
    storage.delete_seed(seed_spec().id).await.unwrap();
    storage.delete_seed(seed_spec().id).await.unwrap();
    assert!(!path.exists());
}

/// The real reader; blkid above looks at the label only.
#[tokio::test]
async fn a_seed_gives_back_the_customers_bytes() {
    let (dir, storage) = open();
    let path = storage.ensure_seed(&seed_spec()).await.unwrap().unwrap();
    for joliet in ["off", "on"] {
        let out = dir.path().join(joliet);
        let run = Command::new("xorriso")
            .args(["-read_fs", if joliet == "on" { "norock" } else { "any" }, "-osirrox", "on", "-indev"])
            .arg(&path)
            .args(["-extract", "/"])
            .arg(&out)
            .output();
        let Ok(run) = run else {
            eprintln!("skipped: xorriso is not installed");
            return;
        };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        assert_eq!(fs::read_to_string(out.join("user-data")).unwrap(), seed_spec().user_data.unwrap());
        let meta = fs::read_to_string(out.join("meta-data")).unwrap();
        assert!(meta.contains("local-hostname: \"web-1\"\n"), "{meta}");
        assert!(fs::read_to_string(out.join("network-config")).unwrap().contains("dhcp4: true"));
    }
}

#[tokio::test]
async fn metadata_lies_beside_the_rest_and_only_where_there_is_some() {
    let (_dir, storage) = open();
    let spec = SeedSpec {
        user_data: Some("#cloud-config\n{}\n".into()),
        additions: vec!["#!/bin/sh\ntrue".into()],
        metadata: Some("<CONFIG><x>1</x></CONFIG>".into()),
        ..seed_spec()
    };
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let path = storage.ensure_seed(&spec).await.unwrap().unwrap();
    let image = fs::read(&path).unwrap();
    for text in [
        "<CONFIG><x>1</x></CONFIG>",
        "metadata.xml",
        "vendor-data",
        "\"path\":\"/run/sutler/metadata.xml\"",
        "Content-Type: multipart/mixed",
        &super::mime::base64(b"#!/bin/sh\ntrue"),
    ] {
        assert!(holds(&image, text), "{text}");
    }
    storage.ensure_seed(&seed_spec()).await.unwrap();
    let image = fs::read(&path).unwrap();
    for text in ["metadata.xml", "vendor-data", "multipart"] {
        assert!(!holds(&image, text), "{text}");
    }
}
