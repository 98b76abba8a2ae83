# What the template, the target group and the fleet's file must say.

mock_provider "aws" {
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0a1", latest_version = 7 }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/fs-web/0123456789abcdef" }
  }
}

variables {
  name               = "web"
  owner              = "prod-1"
  image_id           = "ami-0a1"
  instance_types     = ["m7g.large", "m6g.large"]
  subnet_ids         = ["subnet-0a1", "subnet-0b2", "subnet-0c3"]
  security_group_ids = ["sg-0a1"]
  size               = { min = 2, max = 20 }
  target_group       = { vpc_id = "vpc-0a1", port = 8080 }
  tags               = { team = "payments & co" }
}

run "template_is_safe_to_launch" {
  command = apply

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv2 must be required: the service's role launches nothing else"
  }

  assert {
    condition     = aws_launch_template.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "the metadata service's answers must stay on the host unless told otherwise"
  }

  assert {
    condition     = aws_launch_template.this.instance_initiated_shutdown_behavior == "terminate"
    error_message = "a host that shuts down must not stay behind as a stopped one"
  }

  assert {
    condition = alltrue([
      for device in aws_launch_template.this.block_device_mappings :
      tobool(device.ebs[0].encrypted) && tobool(device.ebs[0].delete_on_termination)
    ]) && length(aws_launch_template.this.block_device_mappings) == 1
    error_message = "the root volume must be encrypted and go with its host"
  }

  assert {
    condition     = length(aws_launch_template.this.network_interfaces) == 0
    error_message = "with a network_interfaces block EC2 refuses the subnet of the launch"
  }

  assert {
    condition     = aws_launch_template.this.vpc_security_group_ids == toset(["sg-0a1"])
    error_message = "hosts must get the security groups given"
  }
}

run "tags_carry_the_owner" {
  command = apply

  assert {
    condition = { for spec in aws_launch_template.this.tag_specifications : spec.resource_type => spec.tags } == {
      network-interface = tomap({
        "fleet-scaler:fleet" = "web", "fleet-scaler:owner" = "prod-1", team = "payments & co"
      })
      volume = tomap({
        "fleet-scaler:fleet" = "web", "fleet-scaler:owner" = "prod-1", team = "payments & co"
      })
    }
    error_message = "volumes and network interfaces must carry the owner's tag, and instances must be left to the launch call"
  }
}

run "target_group_drains" {
  command = apply

  assert {
    condition     = aws_lb_target_group.this[0].deregistration_delay == "300"
    error_message = "a host that goes must be given time to finish"
  }

  assert {
    condition     = aws_lb_target_group.this[0].target_type == "instance" && aws_lb_target_group.this[0].port == 8080
    error_message = "the scaler registers instances, at the group's own port"
  }

  assert {
    condition = (
      aws_lb_target_group.this[0].health_check[0].timeout < aws_lb_target_group.this[0].health_check[0].interval
      && aws_lb_target_group.this[0].health_check[0].path == "/"
    )
    error_message = "the target group must have a health check"
  }
}

run "file_names_what_was_made" {
  command = apply

  assert {
    condition     = strcontains(output.fleet_toml, "launch_template_id = \"lt-0a1\"\nlaunch_template_version = \"7\"\n")
    error_message = "the fleet's file must name this template and its version as a number"
  }

  assert {
    condition     = strcontains(output.fleet_toml, "subnets = [\"subnet-0a1\",\"subnet-0b2\",\"subnet-0c3\"]\ninstance_types = [\"m7g.large\",\"m6g.large\"]\n")
    error_message = "the fleet's file must list the subnets and the types in their order"
  }

  assert {
    condition     = strcontains(output.fleet_toml, "target_groups = [\"${aws_lb_target_group.this[0].arn}\"]\n")
    error_message = "the fleet's file must name the target group"
  }

  assert {
    condition     = startswith(output.fleet_toml, "name = \"web\"\nmode = \"dry-run\"")
    error_message = "a new fleet must begin in dry-run"
  }

  assert {
    condition     = strcontains(output.fleet_toml, "[launch.tags]\n\"team\" = \"payments \\u0026 co\"\n\n[balancer]")
    error_message = "the user's tags must be in the file, quoted"
  }
}

run "no_balancer" {
  command = apply

  variables {
    target_group = null
    tags         = {}
  }

  assert {
    condition     = length(aws_lb_target_group.this) == 0 && output.target_group_arns == []
    error_message = "no target group was asked for"
  }

  assert {
    condition     = strcontains(output.fleet_toml, "target_groups = []\n") && !strcontains(output.fleet_toml, "[launch.tags]")
    error_message = "the fleet's file must have no target group and no tags"
  }
}

run "long_names_are_cut_and_stay_apart" {
  command = apply

  variables {
    name = "a-fleet-with-a-name-that-goes-on-for-very-long"
  }

  assert {
    condition     = length(aws_lb_target_group.this[0].name) <= 32 && can(regex("^fs-a-fleet-with-a-name--[0-9a-f]{8}$", aws_lb_target_group.this[0].name))
    error_message = "a target group's name has 32 characters at most"
  }
}

run "refuses_an_alias_for_the_image" {
  command = plan

  variables {
    image_id = "resolve:ssm:/my/image"
  }

  expect_failures = [var.image_id]
}

run "refuses_max_below_min" {
  command = plan

  variables {
    size = { min = 3, max = 2 }
  }

  expect_failures = [var.size]
}

run "refuses_the_scalers_own_tags" {
  command = plan

  variables {
    tags = { "fleet-scaler:owner" = "someone-else" }
  }

  expect_failures = [var.tags]
}

run "refuses_a_network_load_balancer" {
  command = plan

  variables {
    target_group = { vpc_id = "vpc-0a1", port = 8080, protocol = "TCP" }
  }

  expect_failures = [var.target_group]
}
