// As docs/formats.md says, for OpenTelemetry.
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { WebVitalsInstrumentation } from "@opentelemetry/browser-instrumentation/experimental/web-vitals";
import { logs } from "@opentelemetry/api-logs";
import { registerInstrumentations } from "@opentelemetry/instrumentation";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";

const pageview = `${Math.round(performance.timeOrigin)}-${Math.random().toString(36).slice(2)}`;
const exporter = new OTLPLogExporter({ url: `${SERVER}/v1/logs?site=${KEY}&release=1.4.2` });
logs.setGlobalLoggerProvider(new LoggerProvider({ processors: [new SimpleLogRecordProcessor({ exporter })] }));
const page = { "url.full": location.href, "fieldvitals.pageview": pageview };
const applyCustomLogRecordData = (record) => { record.attributes = { ...record.attributes, ...page }; };
registerInstrumentations({ instrumentations: [new WebVitalsInstrumentation({ applyCustomLogRecordData })] });
