//! A full proof: what is read back from the files is what the server summed, or nothing is published.

use super::*;

/// The server's part: the texts of a chunk's keys, written down by hand.
fn sum(rows: &[Vec<String>]) -> KeySum {
    rows.iter().fold(KeySum::default(), |mut sum, row| {
        let mut key = Vec::new();
        for text in row {
            KeySum::part(&mut key, text.as_bytes());
        }
        sum.add(&key);
        sum
    })
}

fn formats() -> Vec<FormatOptions> {
    let csv = |change: &dyn Fn(&mut CsvOptions)| {
        let mut options = CsvOptions::default();
        change(&mut options);
        FormatOptions::Csv(options)
    };
    vec![
        format(Compression::None),
        format(Compression::Zstd(3)),
        csv(&|_| {}),
        csv(&|options| options.quote_all = true),
        csv(&|options| {
            options.delimiter = '\t';
            options.header = false;
            options.compression = FileCompression::Gzip;
        }),
        csv(&|options| options.compression = FileCompression::Zstd(1)),
    ]
}

fn columns() -> Vec<Column> {
    vec![
        column("word", FieldType::Utf8, false),
        column("other", FieldType::Float64, true),
        column("id", FieldType::Int64, false),
        column(
            "amount",
            FieldType::Decimal {
                precision: 15,
                scale: 2,
            },
            false,
        ),
        column("day", FieldType::Date, false),
        column("uuid", FieldType::Uuid, false),
    ]
}

/// One chunk of keys `(day, word, id, amount, uuid)` beside a column that is none, in a dataset that is
/// held.
fn written(
    target: &Path,
    options: &FormatOptions,
    words: &[String],
) -> (Dataset, Read, Vec<Vec<String>>) {
    let key = ["day", "word", "id", "amount", "uuid"].map(str::to_owned);
    let rows = words.len();
    let ids: Vec<i64> = (0..rows as i64).map(|id| id * 1_000_003 - 5).collect();
    let uuids = (0..rows).map(|id| [id as u8; 16]);
    let values: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(words)),
        Arc::new(Float64Array::from(vec![None; rows])),
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(
            Decimal128Array::from_iter_values(ids.iter().map(|id| i128::from(*id)))
                .with_precision_and_scale(15, 2)
                .unwrap(),
        ),
        Arc::new(Date32Array::from_iter_values(
            (0..rows).map(|day| day as i32),
        )),
        Arc::new(FixedSizeBinaryArray::try_from_iter(uuids.clone()).unwrap()),
    ];
    let texts = words.iter().zip(&ids).zip(uuids).enumerate();
    let texts = texts.map(|(day, ((word, id), uuid))| {
        let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let sign = if *id < 0 { "-" } else { "" };
        let cents = id.unsigned_abs();
        vec![
            format!("1970-01-{:02}", day + 1),
            word.clone(),
            id.to_string(),
            format!("{sign}{}.{:02}", cents / 100, cents % 100),
            format!(
                "{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            ),
        ]
    });
    let mut plan = plan(columns(), &[]);
    plan.spec.format = options.clone();
    plan.spec.proof = ProofLevel::Full;
    plan.spec.proof_key = key.to_vec();
    let schema = arrow_schema(&plan.spec.read.columns);
    let batch = RecordBatch::try_new(schema.clone(), values).unwrap();
    let dataset = Dataset::prepare(target, &run_id(1), Layout::Replace, 0).unwrap();
    let mut writer = block_on(dataset.sink(options, BUDGET).open(1, schema)).unwrap();
    block_on(writer.write(&batch)).unwrap();
    let read = Read {
        number: 1,
        plan,
        receipts: block_on(writer.finish()).unwrap(),
        chunks: vec![record(1, rows as u64)],
        counted: Some(rows as u64),
        sums: BTreeMap::new(),
        nulled: BTreeMap::new(),
    };
    (dataset, read, texts.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn keys_of_every_provable_type_are_read_back_as_the_server_writes_them(
        words in proptest::collection::vec("[a-zé\"',;\t\n\\\\ ]{0,6}", 1..28),
        change in any::<proptest::sample::Index>(),
        place in 0usize..5,
    ) {
        for options in formats() {
            let root = tempfile::tempdir().unwrap();
            let target = root.path().join("d");
            let (dataset, mut read, texts) = written(&target, &options, &words);
            read.sums = BTreeMap::from([(1, (sum(&texts), Duration::ZERO))]);
            let published = read.publish(dataset).unwrap();
            let proof = published.manifest.proof;
            prop_assert_eq!(proof.level, ProofLevel::Full);
            prop_assert_eq!(proof.keys.unwrap().columns, read.plan.spec.proof_key.clone());
            prop_assert_eq!(verify(&target).unwrap().proof, ProofLevel::Full);

            // One character of one key is not what the server has.
            let (dataset, mut read, mut texts) = written(&target, &options, &words);
            texts[change.index(words.len())][place].push('0');
            read.sums = BTreeMap::from([(1, (sum(&texts), Duration::ZERO))]);
            let refused = read.publish(dataset);
            let is_proof = matches!(&refused, Err(WriteError::Proof { why, .. })
                if why.contains("keys of chunk 1"));
            prop_assert!(is_proof, "{:?}", refused);
        }
    }
}

#[test]
fn a_value_that_changed_in_the_file_is_found() {
    for options in formats() {
        let root = tempfile::tempdir().unwrap();
        let words: Vec<String> = (0..20).map(|word| format!("w{word:02}")).collect();
        let target = root.path().join("d");
        let (dataset, mut read, texts) = written(&target, &options, &words);
        read.sums = BTreeMap::from([(1, (sum(&texts), Duration::ZERO))]);
        // The same file, but that one word stands there twice and another is lost.
        let mut other = words.clone();
        other[7] = words[8].clone();
        let elsewhere = root.path().join("e");
        let (lies, lying, _) = written(&elsewhere, &options, &other);
        let staged = |name: &str, receipt: &PartReceipt| {
            let staging = format!(".{name}.ixtract-staging-{}", run_id(1).tag());
            root.path().join(staging).join(&receipt.name)
        };
        let bytes = fs::read(staged("e", &lying.receipts[0])).unwrap();
        // Where compression makes it shorter, the file's length tells already; not here.
        read.receipts[0].bytes = bytes.len() as u64;
        fs::write(staged("d", &read.receipts[0]), bytes).unwrap();
        lies.abandon().unwrap();
        match read.publish(dataset) {
            Err(WriteError::Proof { why, .. }) => {
                assert!(why.contains("keys of chunk 1 that are read back"), "{why}");
            }
            other => panic!("{options:?}: {other:?}"),
        }
        assert!(!target.exists());
    }
}

#[test]
fn a_sum_that_is_missing_or_of_other_rows_proves_nothing() {
    let refused = |change: &dyn Fn(&mut Read)| {
        let root = tempfile::tempdir().unwrap();
        let words = ["a".to_owned(), "b".to_owned()];
        let options = format(Compression::Snappy);
        let (dataset, mut read, texts) = written(&root.path().join("d"), &options, &words);
        read.sums = BTreeMap::from([(1, (sum(&texts), Duration::ZERO))]);
        change(&mut read);
        match read.publish(dataset) {
            Err(WriteError::Proof { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(&|read| read.sums.clear()).contains("did not sum the keys of chunk 1"));
    let more = refused(&|read| read.sums.entry(1).or_default().0.rows += 1);
    assert!(more.contains("counts 3 rows in chunk 1 and 2"), "{more}");
    let count = refused(&|read| read.counted = None);
    assert!(count.contains("count"), "{count}");
}
