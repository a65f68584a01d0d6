//! `fieldvitals mcp`: answers agents over the Model Context Protocol (MCP), on standard input and output.
//!
//! A tool is a command of this binary that reads the server. `tools` has the tools and their parameters, `call` runs them.
//! Standard output belongs to the protocol; warnings go to standard error.

mod call;
mod tools;

use crate::client::{Client, ServerArgs};
use crate::exit::{Done, Exit, Failure, finish};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, Implementation,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use rmcp::{ErrorData, ServerHandler};
use serde_json::Value;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Answer agents over the Model Context Protocol (MCP), on standard input and output.
///
/// An agent's configuration has this command; the tools read the server with a token of the scope `read`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: ServerArgs,
}

/// Tells an agent what the tools are for.
const INSTRUCTIONS: &str = "Real-user Web Vitals (LCP, INP, CLS, FCP, TTFB) of a team's own sites. Start with `report`: it says \
     whether a site passes the Core Web Vitals and which pages are worst. `attribution` says why a metric is slow, `series` when \
     it changed, `compare` whether a change is more than chance, `check` whether budgets are met. Times are milliseconds, UTC.";

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(finish(serve(args.server).await))
}

/// Serves one client until it closes standard input.
async fn serve(server: ServerArgs) -> Result<Done, Failure> {
    tokio::spawn(warn_of_scope(Client::new(&server)?));
    if std::io::stdin().is_terminal() {
        eprintln!("waiting for an MCP client on standard input; an agent's configuration runs this command");
    }
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(
            format!("no MCP client on standard input and output: {error}"),
            "An agent's configuration runs this command, such as {\"command\": \"fieldvitals\", \"args\": [\"mcp\"]}.",
        )
    };
    let service = Agent { server }.serve(rmcp::transport::stdio()).await.map_err(|error| failed(&error))?;
    service.waiting().await.map_err(|error| failed(&error))?;
    Ok(Done { exit: Exit::Pass, stdout: String::new(), warning: String::new() })
}

/// Warns if the token allows more than reading. A server that does not answer now may answer the first call.
async fn warn_of_scope(client: Client) {
    let Ok((sites, _)) = client.get::<Value>(&["sites"], &[]).await else { return };
    if let Some(scope) = sites["scope"].as_str().filter(|scope| *scope != "read") {
        let scope = crate::output::plain(scope);
        eprintln!(
            "warning: the token has the scope `{scope}`; agents need only `read`\n  \
             `fieldvitals token add NAME --scope read` makes one."
        );
    }
}

/// Handles the requests of a client.
struct Agent {
    server: ServerArgs,
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        let own = Implementation::new("fieldvitals", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(own.with_title("fieldvitals: real-user Web Vitals"))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::TOOLS.iter().map(tools::Tool::described).collect()))
    }

    /// A known method whose parameters have another shape arrives here.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let expected = match request.method.as_str() {
            "tools/call" => "an object with `name`, a text, and `arguments`, an object",
            "tools/list" => "nothing, or an object with `cursor`, a text",
            "ping" => "nothing",
            method => return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method.to_owned(), None)),
        };
        let message = format!("the parameters of {} are not understood: expected {expected}", request.method);
        Err(ErrorData::invalid_params(message, None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = tools::TOOLS.iter().find(|tool| tool.name == request.name) else {
            let known: Vec<String> = tools::TOOLS.iter().map(|tool| tool.name.to_owned()).collect();
            let message = crate::names::unknown("tool", &request.name, "", &known);
            return Err(ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        Ok(call::call(tool, &arguments, &self.server).await.into())
    }
}
