import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;

/** Trust BUNDLE STORE: write the certificates of a PEM file into a key store, the only format that Java reads. */
class Trust {
    public static void main(String[] args) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        int number = 0;
        try (var bundle = Files.newInputStream(Path.of(args[0]))) {
            for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(bundle)) {
                store.setCertificateEntry("authority" + number++, certificate);
            }
        }
        try (var file = Files.newOutputStream(Path.of(args[1]))) {
            store.store(file, "public".toCharArray());
        }
    }
}
