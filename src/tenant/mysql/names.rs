//! The names of errors that migrations meet, as the servers' manuals have them: a number alone says little to whoever is woken by it.

/// An error as people look it up: `ER_DUP_ENTRY 1062`, or the number alone.
pub(super) fn named(number: u16) -> String {
    match NAMES.binary_search_by_key(&number, |(number, _)| *number) {
        Ok(at) => format!("{} {number}", NAMES[at].1),
        Err(_) => number.to_string(),
    }
}

const NAMES: &[(u16, &str)] = &[
    (1005, "ER_CANT_CREATE_TABLE"),
    (1021, "ER_DISK_FULL"),
    (1025, "ER_ERROR_ON_RENAME"),
    (1040, "ER_CON_COUNT_ERROR"),
    (1044, "ER_DBACCESS_DENIED_ERROR"),
    (1045, "ER_ACCESS_DENIED_ERROR"),
    (1048, "ER_BAD_NULL_ERROR"),
    (1049, "ER_BAD_DB_ERROR"),
    (1050, "ER_TABLE_EXISTS_ERROR"),
    (1051, "ER_BAD_TABLE_ERROR"),
    (1054, "ER_BAD_FIELD_ERROR"),
    (1060, "ER_DUP_FIELDNAME"),
    (1061, "ER_DUP_KEYNAME"),
    (1062, "ER_DUP_ENTRY"),
    (1064, "ER_PARSE_ERROR"),
    (1067, "ER_INVALID_DEFAULT"),
    (1068, "ER_MULTIPLE_PRI_KEY"),
    (1071, "ER_TOO_LONG_KEY"),
    (1072, "ER_KEY_COLUMN_DOES_NOT_EXITS"),
    (1075, "ER_WRONG_AUTO_KEY"),
    (1091, "ER_CANT_DROP_FIELD_OR_KEY"),
    (1114, "ER_RECORD_FILE_FULL"),
    (1118, "ER_TOO_BIG_ROWSIZE"),
    (1136, "ER_WRONG_VALUE_COUNT_ON_ROW"),
    (1142, "ER_TABLEACCESS_DENIED_ERROR"),
    (1146, "ER_NO_SUCH_TABLE"),
    (1170, "ER_BLOB_KEY_WITHOUT_LENGTH"),
    (1205, "ER_LOCK_WAIT_TIMEOUT"),
    (1213, "ER_LOCK_DEADLOCK"),
    (1215, "ER_CANNOT_ADD_FOREIGN"),
    (1227, "ER_SPECIFIC_ACCESS_DENIED_ERROR"),
    (1264, "ER_WARN_DATA_OUT_OF_RANGE"),
    (1265, "WARN_DATA_TRUNCATED"),
    (1292, "ER_TRUNCATED_WRONG_VALUE"),
    (1304, "ER_SP_ALREADY_EXISTS"),
    (1305, "ER_SP_DOES_NOT_EXIST"),
    (1359, "ER_TRG_ALREADY_EXISTS"),
    (1360, "ER_TRG_DOES_NOT_EXIST"),
    (1364, "ER_NO_DEFAULT_FOR_FIELD"),
    (1366, "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD"),
    (1406, "ER_DATA_TOO_LONG"),
    (1418, "ER_BINLOG_UNSAFE_ROUTINE"),
    (1419, "ER_BINLOG_CREATE_ROUTINE_NEED_SUPER"),
    (1451, "ER_ROW_IS_REFERENCED_2"),
    (1452, "ER_NO_REFERENCED_ROW_2"),
    (1553, "ER_DROP_INDEX_FK"),
    (1826, "ER_DUP_CONSTRAINT_NAME"),
    (1846, "ER_ALTER_OPERATION_NOT_SUPPORTED_REASON"),
    (1969, "ER_STATEMENT_TIMEOUT"),
    (4025, "ER_CONSTRAINT_FAILED"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_name_that_the_manuals_have_and_is_found_by_its_number() {
        assert!(NAMES.is_sorted_by_key(|(number, _)| *number));
        assert_eq!(named(1062), "ER_DUP_ENTRY 1062");
        assert_eq!(named(9), "9");
    }
}
