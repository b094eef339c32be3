//! Guest images: made from a recipe in `images/`, kept with a manifest of checksums in the data folder, made anew when the
//! recipe changes.

mod debian;
mod disk;
mod kernel;
mod recipe;

use crate::{home, setup, shell, step::Step};
use anyhow::{Context, Result, bail};
use recipe::{Kind, Recipe};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The names of all recipes, and what each is for.
pub const DEBIAN: &str = "debian-12";
/// See [`DEBIAN`].
pub const BUSYBOX: &str = "busybox";
/// What a folder of an image is described by.
const MANIFEST: &str = "manifest.json";

/// Which images to make.
#[derive(clap::Args)]
pub struct Options {
    /// Which one; both when none is named.
    #[arg(value_parser = ["debian", "busybox"])]
    name: Option<String>,
    /// Make it anew from today's packages, even though the recipe has not changed.
    #[arg(long)]
    rebuild: bool,
}

/// What is written beside an image.
#[derive(Serialize, Deserialize)]
pub struct Manifest {
    /// The recipe's folder.
    pub name: String,
    /// SHA-256 over the recipe.
    pub recipe_sha256: String,
    /// The image's disk, a qcow2 file.
    pub disk: String,
    /// Smallest disk it fits on, GiB.
    pub size_gib: u64,
    /// Smallest memory it runs in, MiB.
    pub memory_mib_min: u64,
    /// How it boots: as the API takes it.
    pub boot: serde_json::Value,
    /// SHA-256 of each file, hex.
    pub files: BTreeMap<String, String>,
    /// Version of each Debian package in it.
    pub packages: BTreeMap<String, String>,
}

/// An image that is there and as its manifest says.
pub struct Image {
    /// Its folder.
    pub folder: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

/// What making an image gives besides its files.
struct Made {
    disk: String,
    boot: serde_json::Value,
    packages: BTreeMap<String, String>,
}

/// The command.
pub fn image(options: &Options) -> Result<()> {
    setup::setup(setup::Scope::Test)?;
    for name in [BUSYBOX, DEBIAN] {
        if options.name.as_deref().is_none_or(|wanted| name.starts_with(wanted)) {
            let image = ensure(name, options.rebuild)?;
            println!("{}", image.folder.display());
        }
    }
    Ok(())
}

/// The image of that name: verified when it is there, made when it is not, or not by the present recipe.
pub fn ensure(name: &str, rebuild: bool) -> Result<Image> {
    let images = home::data()?.join("images");
    fs::create_dir_all(&images)?;
    // Two commands at once make an image once.
    let lock = File::create(images.join(".lock"))?;
    lock.lock().context("waiting for another command that makes images")?;

    let recipe = Recipe::read(&home::checkout().join("images").join(name))?;
    let folder = images.join(name);
    let step = Step::begin(format!("guest image {name}"));
    if !rebuild {
        match verify(&folder, &recipe) {
            Ok(manifest) => {
                step.done(format!("found, {} packages, checksums hold", manifest.packages.len()));
                return Ok(Image { folder, manifest });
            }
            Err(reason) if folder.exists() => eprintln!("\n    making it anew: {reason:#}"),
            Err(_) => {}
        }
    }
    let image = make(&recipe, &folder)?;
    let bytes: u64 =
        image.manifest.files.keys().filter_map(|file| fs::metadata(folder.join(file)).ok()).map(|m| m.len()).sum();
    step.done(format!("made from {} Debian packages, {} MiB", image.manifest.packages.len(), bytes >> 20));
    Ok(image)
}

/// Holds a folder against its manifest and the manifest against the recipe.
fn verify(folder: &Path, recipe: &Recipe) -> Result<Manifest> {
    let text = fs::read(folder.join(MANIFEST)).context("it has no manifest")?;
    let manifest: Manifest = serde_json::from_slice(&text).context("its manifest is of another version")?;
    if manifest.recipe_sha256 != recipe.sha256 {
        bail!("the recipe has changed");
    }
    for (file, expected) in &manifest.files {
        let found = shell::sha256(&folder.join(file))?;
        if found != *expected {
            bail!("`{file}` has checksum {found}, its manifest says {expected}");
        }
    }
    Ok(manifest)
}

/// Makes it beside the folder, then moves it there whole.
fn make(recipe: &Recipe, folder: &Path) -> Result<Image> {
    let fresh = folder.with_extension("making");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let log = folder.with_extension("log");
    fs::write(&log, "")?;
    let made = match &recipe.kind {
        Kind::Disk(disk) => debian::make(recipe, disk, &fresh, &log),
        Kind::Kernel(kernel) => kernel::make(recipe, kernel, &fresh, &log),
    }
    .with_context(|| format!("making the image {}", recipe.name))?;

    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&fresh)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), shell::sha256(&entry.path())?);
    }
    let manifest = Manifest {
        name: recipe.name.clone(),
        recipe_sha256: recipe.sha256.clone(),
        disk: made.disk,
        size_gib: recipe.size_gib(),
        memory_mib_min: recipe.memory_mib_min(),
        boot: made.boot,
        files,
        packages: made.packages,
    };
    fs::write(fresh.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(&fresh, folder)?;
    Ok(Image { folder: folder.to_owned(), manifest })
}
