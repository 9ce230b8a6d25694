//! The only files a query can read: those of its own snapshot, each after it was checked.
//!
//! A file has the name `<origin>/<path below the log>` in an object store that knows a fixed list of such
//! names. There is no other store, so no text in a query can name a path of the machine.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry, ObjectStoreUrl};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use crate::{Error, Result};

mod verified;

pub(crate) use verified::{Checked, Verified, is_out_of_descriptors};

/// The name of the one object store of a query.
const SNAPSHOT_URL: &str = "tacho://snapshot";

/// The files that the tables of one query have opened.
#[derive(Debug, Default)]
pub(crate) struct SnapshotFiles {
    open: RwLock<HashMap<Path, OpenFile>>,
}

#[derive(Debug, Clone)]
struct OpenFile {
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
}

impl SnapshotFiles {
    /// The URL that scans of this query name.
    pub(crate) fn url() -> Result<ObjectStoreUrl> {
        ObjectStoreUrl::parse(SNAPSHOT_URL).map_err(|error| Error::Internal(error.to_string()))
    }

    /// The registry of a query: these files, and not the file system that the engine's own begins with.
    pub(crate) fn registry(self: &Arc<Self>) -> Result<Arc<dyn ObjectStoreRegistry>> {
        let internal = |error: datafusion::common::DataFusionError| Error::Internal(error.to_string());
        let registry = DefaultObjectStoreRegistry::new();
        let local = ObjectStoreUrl::local_filesystem();
        registry.deregister_store(local.as_ref()).map_err(internal)?;
        registry.register_store(Self::url()?.as_ref(), Arc::clone(self) as Arc<dyn ObjectStore>);
        Ok(Arc::new(registry))
    }

    /// Lets a checked file be read under the name that is returned.
    pub(crate) fn admit(&self, log: &str, below: &str, checked: &Checked) -> Result<Path> {
        let name =
            Path::parse(format!("{log}/{below}")).map_err(|error| Error::Internal(error.to_string()))?;
        let open =
            OpenFile { file: Arc::clone(&checked.file), path: checked.path.clone(), bytes: checked.bytes };
        self.open
            .write()
            .map_err(|_| Error::Internal("the list of files is poisoned".to_string()))?
            .insert(name.clone(), open);
        Ok(name)
    }

    fn find(&self, name: &Path) -> StoreResult<OpenFile> {
        let open = self.open.read().map_err(|_| refuse(name))?;
        open.get(name).cloned().ok_or_else(|| StoreError::NotFound {
            path: name.to_string(),
            source: "not a file of this snapshot".into(),
        })
    }
}

fn refuse(what: impl fmt::Display) -> StoreError {
    StoreError::NotSupported { source: format!("{what}: the snapshot of a query is read only").into() }
}

async fn read(open: OpenFile, ranges: Vec<Range<u64>>) -> StoreResult<Vec<Bytes>> {
    let path = open.path.display().to_string();
    let blocking = tokio::task::spawn_blocking(move || {
        ranges.into_iter().map(|range| read_range(&open, range)).collect::<std::io::Result<Vec<Bytes>>>()
    });
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Generic { store: "snapshot", source };
    match blocking.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(failed(format!("read {path}: {error}").into())),
        Err(error) => Err(failed(error.into())),
    }
}

fn read_range(open: &OpenFile, range: Range<u64>) -> std::io::Result<Bytes> {
    let end = range.end.min(open.bytes);
    let length = usize::try_from(end.saturating_sub(range.start)).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    open.file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

impl fmt::Display for SnapshotFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SNAPSHOT_URL)
    }
}

#[async_trait]
impl ObjectStore for SnapshotFiles {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let open = self.find(location)?;
        let range = match &options.range {
            Some(range) => range.as_range(open.bytes).map_err(|source| StoreError::Generic {
                store: "snapshot",
                source: source.to_string().into(),
            })?,
            None => 0..open.bytes,
        };
        let meta = ObjectMeta {
            location: location.clone(),
            // The name holds the digest, so a name never gets other content.
            last_modified: Default::default(),
            size: open.bytes,
            e_tag: None,
            version: None,
        };
        let read = if options.head { Vec::new() } else { read(open, vec![range.clone()]).await? };
        let payload =
            GetResultPayload::Stream(futures::stream::iter(read.into_iter().map(StoreResult::Ok)).boxed());
        Ok(GetResult { payload, meta, range, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        read(self.find(location)?, ranges.to_vec()).await
    }

    async fn put_opts(&self, location: &Path, _: PutPayload, _: PutOptions) -> StoreResult<PutResult> {
        Err(refuse(location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        Err(refuse(location))
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        futures::stream::iter([Err(refuse("delete"))]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        futures::stream::iter([Err(refuse("list"))]).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> StoreResult<ListResult> {
        Err(refuse("list"))
    }

    async fn copy_opts(&self, from: &Path, _: &Path, _: CopyOptions) -> StoreResult<()> {
        Err(refuse(from))
    }
}
