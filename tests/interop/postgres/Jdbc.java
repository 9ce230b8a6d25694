import java.sql.Array;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.Properties;
import java.util.TreeSet;

/** pgjdbc against the PostgreSQL port. Arguments: host, port; PGPASSWORD is the token. */
public class Jdbc {
    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(what);
    }

    static void refused(Connection connection, String sql, String code) {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        } catch (SQLException error) {
            check(code.equals(error.getSQLState()), sql + ": " + error.getSQLState() + " " + error.getMessage());
            return;
        }
        throw new AssertionError(sql + ": it was answered");
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://" + arguments[0] + ":" + arguments[1] + "/tacho";
        Properties properties = new Properties();
        properties.setProperty("user", "me");
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("ApplicationName", "jdbc test");
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            prepared(connection);
            metadata(connection);
            pages(connection);
            refused(connection, "DELETE FROM events", "25006");
            refused(connection, "SELECT nothing FROM events", "42703");
            check(connection.isValid(5), "valid");
            connection.setReadOnly(true);
            connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        }
        properties.setProperty("password", "wrong");
        try {
            DriverManager.getConnection(url, properties);
            throw new AssertionError("a wrong password was taken");
        } catch (SQLException error) {
            check("28P01".equals(error.getSQLState()), error);
        }
        System.out.println("jdbc: done");
    }

    /** More often than the driver's threshold, from which on it prepares by name and asks for binary. */
    static void prepared(Connection connection) throws SQLException {
        String sql = "SELECT event_id, time, latency_us, scopes FROM events"
            + " WHERE user_id = ? AND latency_us >= ? AND time >= ? ORDER BY event_id";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int run = 0; run < 8; run++) {
                statement.setString(1, "u-1");
                statement.setLong(2, 1200);
                statement.setTimestamp(3, Timestamp.from(Instant.parse("2026-11-21T00:00:00Z")));
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next(), "a row");
                    check(rows.getString(1).equals("e-001"), rows.getString(1));
                    Instant time = rows.getObject(2, OffsetDateTime.class).toInstant();
                    check(time.equals(Instant.parse("2026-11-21T10:00:01.123456Z")), time);
                    check(rows.getLong(3) == 1201, rows.getLong(3));
                    Array scopes = rows.getArray(4);
                    String[] all = (String[]) scopes.getArray();
                    check(all.length == 2 && all[1].equals("with, comma"), scopes);
                }
            }
        }
    }

    static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        TreeSet<String> tables = new TreeSet<>();
        try (ResultSet rows = metadata.getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (rows.next()) tables.add(rows.getString("TABLE_NAME"));
        }
        check(tables.contains("events") && tables.contains("access"), tables);
        int columns = 0;
        try (ResultSet rows = metadata.getColumns(null, "public", "events", "%")) {
            while (rows.next()) {
                columns++;
                if (rows.getString("COLUMN_NAME").equals("latency_us")) {
                    check(rows.getInt("DATA_TYPE") == java.sql.Types.BIGINT, rows.getString("TYPE_NAME"));
                }
            }
        }
        check(columns > 20, columns);
        try (ResultSet rows = metadata.getSchemas()) {
            check(rows.next(), "schemas");
        }
        try (ResultSet rows = metadata.getCatalogs()) {
            check(rows.next() && rows.getString(1).equals("tacho"), "catalogs");
        }
        try (ResultSet rows = metadata.getPrimaryKeys(null, "public", "events")) {
            check(!rows.next(), "no primary key");
        }
        try (ResultSet rows = metadata.getTypeInfo()) {
            check(rows.next(), "types");
        }
    }

    /** A page at a time, which the driver only does in a transaction. */
    static void pages(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(40);
            try (ResultSet rows = statement.executeQuery("SELECT event_id FROM events WHERE control IS NULL ORDER BY 1")) {
                int count = 0;
                while (rows.next()) count++;
                check(count == 300, count);
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }
}
