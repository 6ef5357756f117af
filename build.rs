//! Compiles the protos, without protoc: protox parses them, tonic-prost-build writes the Rust, and the descriptor set
//! is kept for reflection. What is generated is what the features call: of a replica alone one service of eleven; the
//! server's side only for the feature `server`.
#![allow(clippy::print_stdout, reason = "that is how a build script talks to cargo")]
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

const ROOT: &str = "proto";
const PACKAGE: &str = "proto/countersign/v1";
/// What a replica calls.
const OF_REPLICAS: &str = "access_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={ROOT}");
    let mut compiler = protox::Compiler::new([ROOT])?;
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let mut files = protos(Path::new(PACKAGE))?;
    if !has("CLIENT") {
        files.retain(|path| path.ends_with(OF_REPLICAS));
    }
    compiler.include_source_info(true).include_imports(true).open_files(files)?;

    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = compiler.file_descriptor_set();
    fs::write(out_dir.join("countersign.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_server(has("SERVER"))
        // As `Bytes`: one buffer is sent to many replicas.
        .bytes(".countersign.v1.ReplicaPiece.entries")
        .bytes(".countersign.v1.ReplicaChange.entries")
        .out_dir(&out_dir)
        .compile_fds(descriptors)?;
    Ok(())
}

/// The proto files, in the order of their names, so that the descriptor set is the same on every machine.
fn protos(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    Ok(files)
}
