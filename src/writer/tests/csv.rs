//! CSV: what readers of the RFC make of it, and what publishing and verifying notice.

use std::io::{Read as _, Write as _};

use super::*;

fn options(change: impl FnOnce(&mut CsvOptions)) -> CsvOptions {
    let mut options = CsvOptions::default();
    change(&mut options);
    options
}

/// Publishes one chunk of `batches` as CSV; gives its file.
fn publish_csv(
    target: &Path,
    columns: Vec<Column>,
    options: &CsvOptions,
    batches: &[RecordBatch],
) -> PathBuf {
    let mut plan = plan(columns, &[]);
    plan.spec.format = FormatOptions::Csv(options.clone());
    publish_planned(target, plan, batches)
}

/// What a table becomes.
fn text_of(columns: Vec<Column>, options: &CsvOptions, batches: &[RecordBatch]) -> String {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    let file = publish_csv(&target, columns, options, batches);
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(verify(&target).unwrap().rows, rows as u64);
    let bytes = fs::read(file).unwrap();
    let mut text = String::new();
    match options.compression {
        FileCompression::None => bytes.as_slice().read_to_string(&mut text),
        FileCompression::Gzip => {
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text)
        }
        FileCompression::Zstd(_) => zstd::Decoder::new(bytes.as_slice())
            .unwrap()
            .read_to_string(&mut text),
    }
    .unwrap();
    text
}

fn texts(values: &[Option<&str>]) -> (Vec<Column>, RecordBatch) {
    let columns = vec![
        column("id", FieldType::Int64, false),
        column("word", FieldType::Utf8, true),
    ];
    let ids = Int64Array::from_iter_values(0..values.len() as i64);
    let words = StringArray::from(values.to_vec());
    let values: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(words)];
    let batch = RecordBatch::try_new(arrow_schema(&columns), values).unwrap();
    (columns, batch)
}

#[test]
fn every_type_has_its_documented_form() {
    let columns = all_columns();
    let schema = arrow_schema(&columns);
    let values = every_type().into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(schema.clone(), values).unwrap();
    let tabs = options(|o| o.delimiter = '\t');
    let text = text_of(columns.clone(), &tabs, &[batch]);
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = String::new();
    let rows = lines[1].split('\t').zip(lines[3].split('\t'));
    for (column, (first, last)) in columns.iter().zip(rows) {
        shown.push_str(&format!("{}: {first} | {last}\n", column.field));
    }
    assert_eq!(lines[2], "\t".repeat(columns.len() - 1).as_str());
    let shown = shown.replace('\0', "<NUL>");
    insta::assert_snapshot!(shown, @r#"
    bool: true | false
    int8: -128 | 127
    int16: -32768 | 32767
    int32: -2147483648 | 2147483647
    int64: -9223372036854775808 | 9223372036854775807
    uint8: 0 | 255
    uint16: 0 | 65535
    uint32: 0 | 4294967295
    uint64: 0 | 18446744073709551615
    float32: -0 | Infinity
    float64: -1.7976931348623157e+308 | 5e-324
    decimal(9,2): -9999999.99 | 9999999.99
    decimal(18,0): -999999999999999999 | 1
    decimal(38,10): 9999999999999999999999999999.9999999999 | -0.0000000001
    decimal(76,20): 99999999999999999999999999999999999999999999999999999999.99999999999999999999 | -99999999999999999999999999999999999999999999999999999999.99999999999999999999
    text: naïve 🦀<NUL> | ""
    binary: \x00ff | \x
    date: 4714-11-24 BC | 9999-12-31
    time(us): 00:00:00 | 23:59:59.999999
    time(ns): 00:00:00 | 00:01:26.399999999
    timestamp(us): 290309-12-21T19:59:05.224192 BC | 294247-01-10T04:00:54.775807
    timestamp(us,utc): 290309-12-21T19:59:05.224192Z BC | 294247-01-10T04:00:54.775807Z
    timestamp(ns): 1677-09-21T00:12:43.145224192 | 2262-04-11T23:47:16.854775807
    timestamp(ns,utc): 1677-09-21T00:12:43.145224192Z | 2262-04-11T23:47:16.854775807Z
    uuid: 00000000-0000-0000-0000-000000000000 | ffffffff-ffff-ffff-ffff-ffffffffffff
    json: "{""a"": 1}" | null
    list(int32): [1,null] | [3]
    list(text): "[""x"",null]" | "[""""]"
    "#);
}

#[test]
fn null_and_the_empty_text_never_mix() {
    let values = [None, Some(""), Some("NULL"), Some("\\N"), Some("a")];
    for (null, want) in [
        ("", "0,\n1,\"\"\n2,NULL\n3,\\N\n4,a\n"),
        ("NULL", "0,NULL\n1,\"\"\n2,\"NULL\"\n3,\\N\n4,a\n"),
        ("\\N", "0,\\N\n1,\"\"\n2,NULL\n3,\"\\N\"\n4,a\n"),
        ("4", "0,4\n1,\"\"\n2,NULL\n3,\\N\n\"4\",a\n"),
    ] {
        let (columns, batch) = texts(&values);
        let options = options(|o| {
            o.null = null.to_owned();
            o.header = false;
        });
        assert_eq!(text_of(columns, &options, &[batch]), want);
    }
}

#[test]
fn what_a_reader_would_misread_is_quoted() {
    let values = [
        Some("a,b"),
        Some("say \"hi\""),
        Some("\""),
        Some("two\nlines"),
        Some("\r"),
        Some("\\."),
        Some("\u{feff}mark"),
        Some(" spaces "),
        Some("semi;colon"),
    ];
    let (columns, batch) = texts(&values);
    let want = "id,word\n0,\"a,b\"\n1,\"say \"\"hi\"\"\"\n2,\"\"\"\"\n3,\"two\nlines\"\n\
        4,\"\r\"\n5,\"\\.\"\n6,\"\u{feff}mark\"\n7, spaces \n8,semi;colon\n";
    let batches = [batch];
    let ordinary = CsvOptions::default();
    assert_eq!(text_of(columns.clone(), &ordinary, &batches), want);
    let all = options(|o| {
        o.quote_all = true;
        o.delimiter = ';';
    });
    let text = text_of(columns, &all, &batches);
    assert!(text.starts_with("\"id\";\"word\"\n\"0\";\"a,b\"\n\"1\";\"say \"\"hi\"\"\"\n"));
    assert!(text.ends_with("\"7\";\" spaces \"\n\"8\";\"semi;colon\"\n"));
}

#[test]
fn a_number_that_holds_the_delimiter_is_quoted() {
    let columns = vec![column("f", FieldType::Float64, false)];
    let values = Float64Array::from(vec![-1.5, 2.0]);
    let batch = RecordBatch::try_new(arrow_schema(&columns), vec![Arc::new(values)]).unwrap();
    let dots = options(|o| o.delimiter = '.');
    assert_eq!(text_of(columns, &dots, &[batch]), "f\n\"-1.5\"\n2\n");
}

#[test]
fn names_are_fields_like_any_other() {
    let names = ["plain", "a \"b\"", "two\nlines", "x,y", ""];
    let columns: Vec<Column> = names
        .iter()
        .map(|name| column(name, FieldType::Bool, true))
        .collect();
    let text = text_of(columns.clone(), &CsvOptions::default(), &[]);
    assert_eq!(text, "plain,\"a \"\"b\"\"\",\"two\nlines\",\"x,y\",\"\"\n");
    let bare = options(|o| o.header = false);
    assert_eq!(text_of(columns, &bare, &[]), "");
}

#[test]
fn rows_without_columns_and_nulls_of_an_only_column_count() {
    let columns = vec![column("word", FieldType::Utf8, true)];
    let values = StringArray::from(vec![None, Some("a"), None]);
    let batch = RecordBatch::try_new(arrow_schema(&columns), vec![Arc::new(values)]).unwrap();
    let text = text_of(columns, &CsvOptions::default(), &[batch]);
    assert_eq!(text, "word\n\na\n\n");
    let rows = RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(arrow_schema(&[]), Vec::new(), &rows).unwrap();
    let text = text_of(Vec::new(), &CsvOptions::default(), &[batch]);
    assert_eq!(text, "\n\n\n\n");
}

#[test]
fn receipts_and_names_are_true_under_every_compression() {
    let values: Vec<String> = (0..40_000).map(|n| format!("value \"{n}\"")).collect();
    let values: Vec<Option<&str>> = values.iter().map(|v| Some(v.as_str())).collect();
    let (columns, batch) = texts(&values);
    let batches = [batch];
    let plain = text_of(columns.clone(), &CsvOptions::default(), &batches);
    for (compression, extension) in [
        (FileCompression::None, "csv"),
        (FileCompression::Gzip, "csv.gz"),
        (FileCompression::Zstd(3), "csv.zst"),
        (FileCompression::Zstd(22), "csv.zst"),
    ] {
        let options = options(|o| o.compression = compression);
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        let file = publish_csv(&target, columns.clone(), &options, &batches);
        let name = format!("part-00001-001-{}.{extension}", run_id(1).tag());
        assert_eq!(file, target.canonicalize().unwrap().join(name));
        assert_eq!(text_of(columns.clone(), &options, &batches), plain);
    }
}

/// What publishing says of a file that was spoiled after it was written.
fn refused(options: &CsvOptions, spoil: impl FnOnce(&mut Vec<u8>)) -> String {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    let dataset = Dataset::prepare(&target, &run_id(1), Layout::Replace, 0).unwrap();
    let (columns, batch) = texts(&[Some("one"), Some("two\n"), None]);
    let mut plan = plan(columns, &[]);
    plan.spec.format = FormatOptions::Csv(options.clone());
    let sink = dataset.sink(&plan.spec.format, BUDGET);
    let mut writer = block_on(sink.open(1, batch.schema())).unwrap();
    block_on(writer.write(&batch)).unwrap();
    let mut receipts = block_on(writer.finish()).unwrap();
    let staging = format!(".d.ixtract-staging-{}", run_id(1).tag());
    let path = root.path().join(staging).join(&receipts[0].name);
    let mut bytes = fs::read(&path).unwrap();
    spoil(&mut bytes);
    // Its size is what the receipt says: what it holds has to betray it.
    receipts[0].bytes = bytes.len() as u64;
    fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    let read = Read {
        number: 1,
        plan,
        receipts,
        chunks: vec![record(1, 3)],
        counted: Some(3),
        sums: BTreeMap::new(),
        nulled: BTreeMap::new(),
    };
    match read.publish(dataset) {
        Err(WriteError::Proof { why, .. }) => {
            assert!(!target.exists());
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_published_that_does_not_read_back() {
    let plain = CsvOptions::default();
    type Spoil = fn(&mut Vec<u8>);
    let cases: [(Spoil, &str); 5] = [
        (|bytes| bytes.truncate(bytes.len() - 3), "has 2 rows"),
        (|bytes| bytes.truncate(bytes.len() - 1), "middle of a row"),
        (|bytes| bytes.extend_from_slice(b"4,x\n"), "has 4 rows"),
        (|bytes| bytes[0] = b'x', "columns' names"),
        (|bytes| bytes[10] = b',', "fields and not 2"),
    ];
    for (spoil, says) in cases {
        let why = refused(&plain, spoil);
        assert!(why.contains(says), "{says}: {why}");
    }
    for compression in [FileCompression::Gzip, FileCompression::Zstd(1)] {
        let options = options(|o| o.compression = compression);
        let cut = refused(&options, |bytes| bytes.truncate(bytes.len() - 1));
        assert!(cut.contains("cannot be read back"), "{cut}");
        let flipped = refused(&options, |bytes| {
            let middle = bytes.len() - 3;
            bytes[middle] ^= 1;
        });
        assert!(flipped.contains("cannot be read back"), "{flipped}");
    }
}

#[test]
fn verify_finds_a_flipped_byte() {
    for compression in [FileCompression::None, FileCompression::Gzip] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        let (columns, batch) = texts(&[Some("one"), None]);
        let options = options(|o| o.compression = compression);
        let file = publish_csv(&target, columns, &options, &[batch]);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
        let Err(WriteError::Differs { differences, .. }) = verify(&target) else {
            panic!("a flipped byte is a difference");
        };
        assert!(
            differences[0].ends_with("SHA-256 differs"),
            "{differences:?}"
        );
    }
}

#[test]
fn one_dataset_may_change_its_format() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    publish_ids(&target, 1, 3, Layout::Replace, 0);
    for number in [2, 3] {
        let dataset = Dataset::prepare(&target, &run_id(number), Layout::Replace, 0).unwrap();
        let (columns, batch) = texts(&[Some("one")]);
        let mut plan = plan(columns, &[]);
        plan.spec.format = FormatOptions::Csv(CsvOptions::default());
        let sink = dataset.sink(&plan.spec.format, BUDGET);
        let mut writer = block_on(sink.open(1, batch.schema())).unwrap();
        block_on(writer.write(&batch)).unwrap();
        let receipts = block_on(writer.finish()).unwrap();
        let (chunks, counted) = (vec![record(1, 1)], Some(1));
        let read = Read {
            number,
            plan,
            receipts,
            chunks,
            counted,
            sums: BTreeMap::new(),
            nulled: BTreeMap::new(),
        };
        read.publish(dataset).unwrap();
        verify(&target).unwrap();
    }
    assert_eq!(names_in(root.path()), ["d"]);
}

fn a_field() -> impl proptest::strategy::Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![
        "[a,;\"\n\r\t\\\\N. é]{0,8}",
        Just("NULL".to_owned()),
        Just("\\.".to_owned()),
        ".{0,12}",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The csv crate does not tell NULL from an empty text, so what is unquoted is looked at in
    /// the file itself.
    #[test]
    fn a_value_survives_another_reader(
        values in prop::collection::vec(a_field(), 1..20),
        null in prop_oneof![Just(""), Just("NULL"), Just("\\N"), Just("a")],
        delimiter in prop_oneof![Just(','), Just(';'), Just('\t'), Just('.')],
        quote_all: bool,
        header: bool,
    ) {
        let borrowed: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        let (columns, batch) = texts(&borrowed);
        let options = CsvOptions {
            compression: FileCompression::None,
            null: null.to_owned(),
            delimiter,
            quote_all,
            header,
            max_file_bytes: None,
        };
        let text = text_of(columns, &options, &[batch]);
        let mut reader = ::csv::ReaderBuilder::new()
            .delimiter(delimiter as u8)
            .has_headers(header)
            .from_reader(text.as_bytes());
        let records: Vec<::csv::StringRecord> = reader.records().map(|r| r.unwrap()).collect();
        prop_assert_eq!(records.len(), values.len());
        let mut rest = text.as_str();
        if header {
            rest = &rest[rest.find('\n').unwrap() + 1..];
        }
        for (number, (record, value)) in records.iter().zip(&values).enumerate() {
            prop_assert_eq!(&record[0], number.to_string());
            prop_assert_eq!(&record[1], value.as_deref().unwrap_or(null));
            let id = if quote_all { number.to_string().len() + 2 } else { number.to_string().len() };
            rest = &rest[id + 1..];
            let (written, after) = field(rest);
            prop_assert_eq!(written == null, value.is_none(), "{:?} is {:?}", written, value);
            prop_assert!(!quote_all || value.is_none() || written.starts_with('"'));
            rest = &after[1..];
        }
        prop_assert_eq!(rest, "");
    }
}

/// A field as it is written, quotes included, up to the end of the line.
fn field(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '\n' && !quoted).then_some(at)
    });
    text.split_at(end.expect("a whole line"))
}
